"""Update the literal sizes that ``torch.export`` wrote into a graph, after channels are removed."""

import operator
from collections.abc import Callable

import numpy as np
import torch
from torch import fx

from secateur.engine.graph.propagate import FILLS, stored_positions
from secateur.engine.program.functional import op_name
from secateur.engine.surgery.norms import padded_norm
from secateur.engine.surgery.resized import Resized


def _sizes(call: Resized, position: int = 1) -> None:
    """Update ``view``, ``expand``, ``zeros``: each has a size per output dimension."""
    sizes = list(call.copied.args[position])  # type: ignore[arg-type]
    for dim, size in enumerate(sizes):
        kept = call.kept(call.node, dim)
        if kept is None or kept.all():
            continue
        if isinstance(size, fx.Node):
            sizes[dim] = _scaled(call, size, int(kept.sum()), len(kept))
        elif size > 0:
            sizes[dim] = int(kept.sum())
    call.set_argument(position, sizes)


def _repeats(call: Resized) -> None:
    """Update ``repeat`` where it makes copies of one row; elsewhere its counts stay."""
    shape = call.analysis.shapes[call.node.args[0]].shape  # type: ignore[index]
    counts = list(call.literal(1, "repeats"))
    for dim in range(len(counts)):
        own = dim - (len(counts) - len(shape))
        kept = call.kept(call.node, dim)
        if kept is not None and not kept.all() and (own < 0 or shape[own] == 1):
            counts[dim] = int(kept.sum())
            call.set_argument(1, counts)


def _roll(call: Resized) -> None:
    """Update the shifts of ``roll``: the kept ones of the channels that go to the front."""
    rank = call.analysis.shapes[call.node].dim()
    shifts, dims = _listed(call.literal(1, "shifts")), _listed(call.literal(2, "dims", ()))
    totals: dict[int, int] = {}
    for dim, shift in zip(dims, shifts, strict=False):  # without dimensions, no channel goes
        totals[dim % rank] = totals.get(dim % rank, 0) + shift
    for dim, shift in list(totals.items()):
        kept = call.kept(call.node.args[0], dim)
        if kept is not None and not kept.all():
            totals[dim] = int(kept[len(kept) - shift % len(kept) :].sum())
            call.copied.args = (call.copied.args[0], list(totals.values()), list(totals))
            call.copied.kwargs = {}


def _listed(value: int | list[int]) -> list[int]:
    return [value] if isinstance(value, int) else list(value)


def _fill(call: Resized) -> None:
    _sizes(call, FILLS[op_name(call.node.target)])


def _scaled(call: Resized, size: fx.Node, num_kept: int, num_all: int) -> fx.Node:
    """Insert ``size * num_kept // num_all``: the new size of batch times channels."""
    graph = call.copied.graph
    with graph.inserting_before(call.copied):
        product = graph.call_function(operator.mul, (size, num_kept))
        return graph.call_function(operator.floordiv, (product, num_all))


def _unflatten(call: Resized) -> None:
    sizes = list(call.literal(2, "sizes"))
    first = call.literal(1, "dim") % (call.analysis.shapes[call.node].dim() - len(sizes) + 1)
    for offset, size in enumerate(sizes):
        kept = call.kept(call.node, first + offset)
        if size > 0 and kept is not None:
            sizes[offset] = int(kept.sum())
    call.set_argument(2, sizes)


def _split(call: Resized) -> None:
    """Replace ``split`` and ``chunk``: pieces may keep different numbers of channels."""
    x = call.node.args[0]
    given = _SPLIT_DIMS.get(op_name(call.node.target))
    dim = call.literal(2, "dim", 0) if given is None else given
    dim %= call.analysis.shapes[x].dim()  # type: ignore[index]
    kept = call.kept(x, dim)
    if kept is None:
        return
    pieces = [value.shape[dim] for value in call.analysis.shapes[call.node]]
    ends = np.cumsum(pieces)
    sizes = [int(kept[end - size : end].sum()) for end, size in zip(ends, pieces, strict=True)]
    call.copied.target = torch.ops.aten.split_with_sizes.default
    call.copied.args = (call.copied.args[0], sizes, dim)
    call.copied.kwargs = {}


def _slice(call: Resized) -> None:
    x = call.node.args[0]
    size = call.analysis.shapes[x].shape  # type: ignore[index]
    dim = call.literal(1, "dim", 0) % len(size)
    kept = call.kept(x, dim)
    if kept is None or kept.all():
        return
    start, end = call.literal(2, "start"), call.literal(3, "end")
    step = call.literal(4, "step", 1)
    first, last, _ = slice(start, end).indices(size[dim])
    # Steps are kept or removed as a whole, so offsets within a step do not change.
    ends = [int(kept[: at - at % step].sum()) + at % step for at in (first, last)]
    if last % step and not kept[last]:
        ends[1] -= last % step
    call.copied.args = (call.copied.args[0], dim, *ends, step)
    call.copied.kwargs = {}


def _slice_scatter(call: Resized) -> None:
    """Update the bounds of the written slice: channels before and inside it may be removed."""
    size = call.analysis.shapes[call.node].shape
    dim = call.literal(2, "dim", 0) % len(size)
    kept = call.kept(call.node, dim)
    if kept is None or kept.all():
        return
    first, last, _ = slice(call.literal(3, "start"), call.literal(4, "end")).indices(size[dim])
    ends = (int(kept[:first].sum()), int(kept[:last].sum()))
    call.copied.args = (*call.copied.args[:2], dim, *ends, 1)
    call.copied.kwargs = {}


def _select(call: Resized) -> None:
    x = call.node.args[0]
    size = call.analysis.shapes[x].shape  # type: ignore[index]
    dim = call.literal(1, "dim") % len(size)
    kept = call.kept(x, dim)
    if kept is not None:
        call.set_argument(2, int(kept[: call.literal(2, "index") % size[dim]].sum()))


def _index(call: Resized) -> None:
    """Renumber the stored positions of ``index``: channels before them may be removed."""
    indices = list(call.node.args[1])  # type: ignore[arg-type]
    chosen = [dim for dim, used in enumerate(indices) if used is not None]
    found = _renumbered(call, chosen[0], indices[chosen[0]]) if len(chosen) == 1 else None
    if found is not None:
        call.set_argument(1, [found if dim in chosen else None for dim in range(len(indices))])


def _index_select(call: Resized) -> None:
    dim = call.literal(1, "dim") % call.analysis.shapes[call.node].dim()
    found = _renumbered(call, dim, call.node.args[2])
    if found is not None:
        call.set_argument(2, found)


def _renumbered(call: Resized, dim: int, positions: object) -> fx.Node | None:
    """Store the new positions of the channels that stay; return the node to read, if it is new."""
    kept, stays = call.kept(call.node.args[0], dim), call.kept(call.node, dim)
    stored = stored_positions(positions, call.tensors)
    if kept is None or stays is None or stored is None or kept.all():
        return None
    assert isinstance(positions, fx.Node)  # noqa: S101  # it is stored
    places = np.cumsum(kept) - 1
    new = torch.from_numpy(places[stored.cpu().numpy()][stays]).to(stored.device)
    return call.store(positions, new)


def _pad(call: Resized) -> None:
    """Update negative padding, which crops channels; some of them may be pruned."""
    amounts = list(call.literal(1, "pad"))
    rank = call.analysis.shapes[call.node].dim()
    is_changed = False
    for dim in range(rank - len(amounts) // 2, rank):
        kept = call.kept(call.node.args[0], dim)
        place = 2 * (rank - 1 - dim)
        before, after = amounts[place : place + 2]
        if kept is None or min(before, after) >= 0:
            continue
        is_changed = True
        amounts[place] = -int(kept[:-before].sum()) if before < 0 else before
        amounts[place + 1] = -int(kept[after:].sum()) if after < 0 else after
    if is_changed:
        call.set_argument(1, amounts)


def _scale(call: Resized) -> None:
    """Write the scale of attention as a literal, so that it keeps the original width."""
    q = call.node.args[0]
    rank = call.analysis.shapes[q].dim()  # type: ignore[index]
    kept = call.kept(q, rank - 1)
    if kept is not None and not kept.all() and call.literal(6, "scale") is None:
        call.copied.kwargs = {**call.copied.kwargs, "scale": len(kept) ** -0.5}


def _narrow(call: Resized) -> None:
    x = call.node.args[0]
    size = call.analysis.shapes[x].shape  # type: ignore[index]
    dim = call.literal(1, "dim") % len(size)
    kept = call.kept(x, dim)
    if kept is None:
        return
    start, length = call.literal(2, "start") % size[dim], call.literal(3, "length")
    stays = int(kept[start : start + length].sum())
    call.copied.args = (call.copied.args[0], dim, int(kept[:start].sum()), stays)


def _groups(call: Resized) -> None:
    """Update the groups of a depthwise convolution; other convolutions keep theirs."""
    groups = call.literal(6, "groups", 1)
    x = call.node.args[0]
    num_channels = call.analysis.shapes[x].shape[1]  # type: ignore[index]
    kept = call.kept(x, 1)
    if groups == 1 or groups != num_channels or kept is None:
        return
    if len(call.copied.args) > 6:  # noqa: PLR2004  # the position of groups
        call.set_argument(6, int(kept.sum()))
    else:
        call.copied.kwargs = {**call.copied.kwargs, "groups": int(kept.sum())}


def _normalized_shape(call: Resized) -> fx.Node | None:
    if call.node in call.analysis.exact_norms:
        return padded_norm(call)
    sizes = list(call.literal(1, "normalized_shape"))
    rank = call.analysis.shapes[call.node].dim()
    for offset in range(len(sizes)):
        kept = call.kept(call.node, rank - len(sizes) + offset)
        if kept is not None:
            sizes[offset] = int(kept.sum())
    call.set_argument(1, sizes)
    return None


def _norm_groups(call: Resized) -> fx.Node | None:
    """Update the number of groups of a norm, if whole groups go."""
    if call.node in call.analysis.exact_norms:
        return padded_norm(call)
    kept = call.kept(call.node.args[0], 1)
    if kept is not None:
        call.set_argument(1, int(kept.reshape(call.literal(1, "num_groups"), -1).any(1).sum()))
    return None


_SPLIT_DIMS = {"hsplit": 1, "vsplit": 0, "dsplit": 2}  # of tensors with two or more dimensions
REWRITES: dict[str, Callable[[Resized], fx.Node | None]] = {
    **dict.fromkeys(["view", "reshape", "_unsafe_view", "expand"], _sizes),
    **dict.fromkeys(FILLS, _fill),
    "repeat": _repeats,
    "roll": _roll,
    "unflatten": _unflatten,
    **dict.fromkeys(["split", "split_with_sizes", "chunk", "tensor_split", *_SPLIT_DIMS], _split),
    "slice": _slice,
    "slice_scatter": _slice_scatter,
    "narrow": _narrow,
    "select": _select,
    "index": _index,
    "index_select": _index_select,
    **dict.fromkeys(["pad", "constant_pad_nd"], _pad),
    "scaled_dot_product_attention": _scale,
    **dict.fromkeys(
        ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"],
        _groups,
    ),
    **dict.fromkeys(["layer_norm", "rms_norm"], _normalized_shape),
    "group_norm": _norm_groups,
}
