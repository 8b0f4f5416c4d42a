"""Operators that only move values: the operator runs on the labels themselves.

There is no index arithmetic per operator. The label of a dimension is expanded to the value's shape
(strides of 0, so without memory) and the real operator runs on it; the result shows where each atom
went. This is correct by construction for concat, split, shuffle, NHWC permutes and flatten.
"""

import math
from typing import Any

import torch
from torch import Tensor

from secateur.engine.graph.atoms import MemberRole
from secateur.engine.graph.copies import are_copies, label_copies
from secateur.engine.graph.propagate import Labels, Output, Rule, Site
from secateur.engine.graph.rules.pointwise import unite_broadcast
from secateur.engine.program.functional import op_name
from secateur.engine.program.module import resolve

SINGLE = """view reshape _unsafe_view flatten unflatten ravel permute transpose t numpy_T mT mH
    adjoint matrix_H squeeze unsqueeze slice narrow expand view_as reshape_as repeat tile
    repeat_interleave movedim swapaxes flip fliplr flipud rot90 pixel_shuffle pixel_unshuffle
    channel_shuffle unfold select roll
    """.split()
SEVERAL = "split split_with_sizes chunk unbind tensor_split hsplit vsplit dsplit".split()


def move(site: Site) -> Output:
    """Rule of all operators that move one input."""
    source = site.node.args[0]
    labels = site.labels_of(source)
    name = op_name(site.node.target)
    results: list[Labels] | None = None
    for dim, ids in labels.items():
        whole = _unmoved(site, name, dim)
        if whole is not None:
            results = results or [{}]
            _add(site, results[0], whole, ids)
            continue
        moved = _run(site, source, _along(ids, dim, site.shape_of(source)))
        parts = moved if isinstance(moved, (list, tuple)) else [moved]
        if results is None:
            results = [{} for _ in parts]
        for result, part in zip(results, parts, strict=True):
            kept_dim = 1 if name in _CHANNELS_FIRST else site.blocks.get(site.node)
            _collect(site, result, part, kept_dim)
        if name in _BY_POSITION and dim in _moved_dims(site, name):
            _fix_positions(site, ids, name)
        if name == "channel_shuffle" and dim == 1:
            _align(site, ids, site.literal(1, "groups"))
    if results is None:
        return {}
    return results if isinstance(site.shapes[site.node], (list, tuple)) else results[0]


def pad(site: Site) -> Output:
    """Rule of padding: pad a label along its own dimension; other dimensions do not change it."""
    x = site.node.args[0]
    rank = len(site.shape_of(x))
    amounts = list(site.literal(1, "pad"))
    name = op_name(site.node.target)
    mode = site.literal(2, "mode", "constant") if name == "pad" else _PADDING[name]
    output = site.labels_of(x)
    for dim, ids in list(output.items()):
        own = amounts[2 * (rank - 1 - dim) :][:2]  # amounts start at the last dimension
        if not any(own):
            continue
        if mode == "constant":
            output[dim] = torch.nn.functional.pad(ids, own, value=-1)
        else:  # after pruning, other channels would be copied
            site.pin_label(output, dim, "is padded with copies of neighbouring channels")
    return output


def get_item(site: Site) -> Output:
    """Rule of ``operator.getitem``, which selects one of several outputs."""
    found = site.labels.get(site.node.args[0], {})  # type: ignore[arg-type]
    site.followed.add(site.node.args[0])
    return found[site.node.args[1]] if isinstance(found, list) else {}  # type: ignore[index]


def concatenate(site: Site) -> Output:
    """Rule of ``cat``: concatenate labels along its dimension, unite them along the others."""
    items: list[Any] = list(site.argument(0, "tensors"))
    items = [item for item in items if site.shape_of(item) != torch.Size([0])]
    rank = len(site.output_shape)
    given = _STACKS.get(op_name(site.node.target))
    along = site.literal(1, "dim", 0) % rank if given is None else given
    if any(len(site.shape_of(item)) <= along for item in items):
        site.pin_inputs("is stacked with a new dimension")
        return {}
    parts, output = [], {}
    for item in items:
        labels = site.labels_of(item)
        size = site.shape_of(item)[along]
        parts.append(labels.pop(along, torch.full((size,), -1)))
    joined = torch.cat(parts)
    if bool((joined >= 0).any()):
        output[along] = joined
    output |= unite_along(site, items, [d for d in range(rank) if d != along])
    return output


def stack(site: Site) -> Output:
    """Rule of ``stack``: insert a dimension without label at ``dim``, unite along the others."""
    items: list[Any] = list(site.argument(0, "tensors"))
    rank = len(site.output_shape)
    new = site.literal(1, "dim", 0) % rank
    united = unite_along(site, items, list(range(rank - 1)))
    return {dim + (dim >= new): ids for dim, ids in united.items()}


def index(site: Site) -> Output:
    """Rule of ``index``, ``x[:, i, j]``: pin the indexed dimensions; the others keep labels.

    One stored list of positions moves the labels of its dimension.
    """
    labels = site.labels_of(site.node.args[0])
    indices = list(site.argument(1, "indices"))
    chosen = [dim for dim, used in enumerate(indices) if used is not None]
    if any(site.shapes[indices[dim]].dtype in {torch.bool, torch.uint8} for dim in chosen):
        site.pin_inputs("is indexed by a mask")
        return {}
    positions = site.positions(indices[chosen[0]]) if len(chosen) == 1 else None
    for dim in chosen:
        if positions is None:
            site.pin_label(labels, dim, "is indexed by its position")
        elif dim in labels:
            labels[dim] = labels[dim][positions]
    num_new = len(torch.broadcast_shapes(*[site.shape_of(indices[dim]) for dim in chosen]))
    # torch puts the new dimensions first unless the indexed ones are adjacent.
    is_adjacent = chosen == list(range(chosen[0], chosen[-1] + 1))
    first = chosen[0] if is_adjacent else 0
    output: Labels = {}
    for dim, ids in labels.items():
        own = dim - sum(d < dim for d in chosen)
        is_moved = dim in chosen  # to the same dimension: there is one
        output[dim if is_moved else own + num_new * (own >= first)] = ids
    return output


def index_select(site: Site) -> Output:
    """Rule of ``index_select``: stored positions move its dimension's labels, others pin them."""
    labels = site.labels_of(site.node.args[0])
    dim = site.literal(1, "dim") % len(site.output_shape)
    positions = site.positions(site.argument(2, "index"))
    if positions is None:
        site.pin_label(labels, dim, "is indexed by its position")
    elif dim in labels:
        labels[dim] = labels[dim][positions]
    return labels


def gather(site: Site) -> Output:
    """Rule of ``gather``: pin its dimension; values and positions lose the same of the others."""
    values, index = site.node.args[0], site.argument(2, "index")
    labels, own = site.labels_of(values), site.labels_of(index)
    along = site.literal(1, "dim") % len(site.output_shape)
    site.pin_label(labels, along, "is indexed by its position")
    output = {along: own.pop(along)} if along in own else {}
    for dim in range(len(site.output_shape)):
        ids, other = labels.get(dim), own.get(dim)
        is_whole = site.shape_of(values)[dim] == site.output_shape[dim]
        if ids is None and other is None:
            continue
        if ids is not None and other is None and is_whole and are_copies(site, index, dim):
            label_copies(site, index, dim, ids)
            output[dim] = ids
        elif ids is not None and other is not None and is_whole:
            site.atoms.unite(ids, other)
            output[dim] = ids
        else:
            for each in (labels, own):
                site.pin_label(each, dim, "is combined with values that no parameter produces")
    return output


def embedding(site: Site) -> Output:
    """Rule of ``embedding``: the columns of its table (entries, C) are the last dimension."""
    table = site.labels_of(site.node.args[0])
    site.pin_label(table, 0, "is an entry of a table")
    site.atoms.set_role(table.get(1), MemberRole.PRODUCER)
    return {len(site.output_shape) - 1: table[1]} if 1 in table else {}


def expand_as(site: Site) -> Output:
    """Rule of ``expand_as``: expanded dimensions take the labels of the other value."""
    return unite_broadcast(site, [site.node.args[0], site.argument(1, "other")], site.output_shape)


def like_another(site: Site) -> Output:
    """Rule of ``view_as`` and ``reshape_as``: move, then unite with the value that gives the shape.

    The shape follows that value, so both must lose the same channels.
    """
    output = move(site)
    assert isinstance(output, dict)  # noqa: S101  # one output
    shape = site.labels_of(site.argument(1, "other"))
    for dim in output.keys() | shape.keys():
        if dim in output and dim in shape:
            site.atoms.unite(output[dim], shape[dim])
        else:
            site.pin_label(
                output if dim in output else shape,
                dim,
                "takes its shape from a value with a fixed shape",
            )
    return output


def windows_to_columns(site: Site) -> Output:
    """Rule of ``im2col`` (N, C, H, W) → (N, C k, L): each channel becomes k adjacent rows."""
    labels = site.labels_of(site.node.args[0])
    own = len(site.output_shape) - 2
    for dim in [d for d in labels if d > own]:
        site.pin_label(labels, dim, "is a position of a window")
    if own in labels:
        labels[own] = labels[own].repeat_interleave(site.output_shape[own] // len(labels[own]))
    return labels


def columns_to_windows(site: Site) -> Output:
    """Rule of ``col2im`` (N, C k, L) → (N, C, H, W): unite the k adjacent rows of a channel."""
    labels = site.labels_of(site.node.args[0])
    own = len(site.output_shape) - 3
    for dim in [d for d in labels if d > own]:
        site.pin_label(labels, dim, "is a position of a window")
    if own in labels:
        rows = labels[own].view(site.output_shape[own], -1)
        site.atoms.unite(rows, rows[:, :1])
        labels[own] = rows[:, 0]
    return labels


def unite_along(site: Site, items: list[Any], dims: list[int]) -> Labels:
    """Unite the labels of equal-rank ``items`` along each of ``dims``."""
    output: Labels = {}
    for dim in dims:
        found = [site.labels_of(item).get(dim) for item in items]
        present = [ids for ids in found if ids is not None]
        for ids in present[1:]:
            site.atoms.unite(present[0], ids)
        if len(present) == len(found) and present:
            output[dim] = present[0]
        elif present:
            site.atoms.pin(
                present[0], "is combined with values that no parameter produces", site.node
            )
    return output


_PADDING = {
    "constant_pad_nd": "constant",
    **{f"reflection_pad{d}d": "reflect" for d in (1, 2, 3)},
    **{f"replication_pad{d}d": "replicate" for d in (1, 2, 3)},
}
_STACKS = {"hstack": 1, "vstack": 0, "dstack": 2, "column_stack": 1}  # dimension they join along
# These spread a channel over several dimensions; dimension 1 keeps the label.
_CHANNELS_FIRST = frozenset({"pixel_shuffle"})
# These address channels by position, and pruning shifts the positions. A roll along a dimension is
# not among them: its shift is rewritten.
_BY_POSITION = frozenset({"roll", "slice", "unfold"})
# These keep the order of elements in memory.
_RESHAPES = frozenset(
    "view reshape _unsafe_view flatten unflatten ravel squeeze unsqueeze view_as reshape_as".split()
)


def _along(ids: Tensor, dim: int, shape: torch.Size) -> Tensor:
    view = [1] * len(shape)
    view[dim] = -1
    return ids.view(view).expand(shape)


def _unmoved(site: Site, name: str, dim: int) -> int | None:
    """Return the output dimension that a reshape turns ``dim`` into as a whole, or None."""
    if name not in _RESHAPES:
        return None
    shape = site.shape_of(site.node.args[0])
    before, reached = math.prod(shape[:dim]), 1
    for own, length in enumerate(site.output_shape):
        if reached == before and length == shape[dim]:
            return own
        reached *= length
    return None


def _fix_positions(site: Site, ids: Tensor, name: str) -> None:
    """Pin channels read by position; a slice with a step allows removal of whole steps."""
    step = site.literal(4, "step", 1) if name == "slice" else len(ids) + 1
    if len(ids) % step:
        site.atoms.pin(ids, f"is read by position in {name}", site.node)
    elif step > 1:
        rows = ids.view(-1, step)
        site.atoms.unite(rows, rows[:, :1])


def _moved_dims(site: Site, name: str) -> set[int]:
    rank = len(site.shape_of(site.node.args[0]))
    if name == "roll":  # without dimensions, it rolls the flattened value
        return set() if site.literal(2, "dims", ()) else set(range(rank))
    return {site.literal(1, "dim", 0) % rank}


def _run(site: Site, source: object, labels: Tensor) -> Any:  # noqa: ANN401  # tensors
    """Call the node's own operator with ``labels`` in place of its first argument."""
    values = site.shapes
    name = op_name(site.node.target)
    args: list[Any] = [labels if a is source else resolve(a, values) for a in site.node.args]
    kwargs = {key: resolve(value, values) for key, value in site.node.kwargs.items()}
    if name == "view":  # expanded labels have strides that view refuses and reshape does not
        return labels.reshape(args[1])
    if name in {"view_as", "reshape_as"}:
        return labels.reshape(args[1].shape)
    return site.node.target(*args, **kwargs)  # type: ignore[operator]


def _collect(site: Site, result: Labels, moved: Tensor, kept_dim: int | None) -> None:
    """Reduce a moved label tensor to a label of one dimension and add it to ``result``."""
    varying = []
    # Largest first: narrowing a dimension that does not vary shrinks the next comparison.
    for dim in sorted(range(moved.dim()), key=lambda d: -moved.shape[d]):
        if _varies(moved, dim):
            varying.append(dim)
        else:
            moved = moved.narrow(dim, 0, 1)
    varying.sort()
    if not varying:
        if moved.numel() and not _has_no_atoms(moved):
            site.atoms.pin(moved, "is read by its position", site.node)
        return
    if len(varying) > 1 and site.probes is not None:
        for dim in varying:
            along = moved.movedim(dim, 0).flatten(1)[:, 0]
            # Batch times heads is one dimension in some networks: heads recur for every sample.
            atoms, number = torch.unique(along, return_inverse=True)
            probe = site.probes.found[site.node, dim] = site.atoms.fresh(len(atoms))[number]
            _add(site, result, dim, probe)
        return
    # The atoms vary over several dimensions: unite them over all but the longest.
    keep = kept_dim if kept_dim in varying else max(varying, key=lambda d: (moved.shape[d], d))
    first = moved
    for dim in varying:
        if dim != keep:
            first = first.narrow(dim, 0, 1)
    if len(varying) > 1:
        site.atoms.unite(moved, first)
    _add(site, result, keep, first.reshape(-1))


def _add(site: Site, result: Labels, dim: int, ids: Tensor) -> None:
    """Add a label; if the dimension has one, keep the finer (or first) and pin the other."""
    other = result.get(dim)
    if other is not None:
        if len(torch.unique(ids)) <= len(torch.unique(other)):
            ids, other = other, ids
        site.atoms.pin(other, "is flattened with another prunable dimension", site.node)
    result[dim] = ids


def _varies(t: Tensor, dim: int) -> bool:
    if t.shape[dim] == 1 or t.stride(dim) == 0 or t.numel() == 0:
        return False
    return not bool((t == t.narrow(dim, 0, 1)).all())


def _has_no_atoms(moved: Tensor) -> bool:
    return bool((moved < 0).all())


def _align(site: Site, ids: Tensor, num_groups: int) -> None:
    rows = ids.view(num_groups, -1)
    site.atoms.unite(rows, rows[:1])


RULES: dict[str, Rule] = {
    **dict.fromkeys([*SINGLE, *SEVERAL], move),
    **dict.fromkeys([*_PADDING, "pad"], pad),
    "index": index,
    "index_select": index_select,
    "gather": gather,
    "embedding": embedding,
    "expand_as": expand_as,
    **dict.fromkeys(["view_as", "reshape_as"], like_another),
    "im2col": windows_to_columns,
    "col2im": columns_to_windows,
    "getitem": get_item,
    "cat": concatenate,
    "concat": concatenate,
    **dict.fromkeys(_STACKS, concatenate),
    "stack": stack,
}
