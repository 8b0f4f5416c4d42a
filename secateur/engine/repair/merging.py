"""Merging: which channel groups one channel can stand for, if they compute the same.

A channel that stands for several equal ones must be read with the sum of their columns, so every
reader needs a stored weight. Products of two activations, reductions over channels and norms would
notice the missing ones. Groups that other calls read (the halves of a split, say) are not equal
after them, so only groups with the same readers can be merged.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx

from secateur.engine.graph.analysis import Analysis
from secateur.engine.graph.flow import CONTRACTIONS
from secateur.engine.program.functional import op_name
from secateur.engine.program.macs import einsum_letters
from secateur.engine.program.program import Program
from secateur.engine.repair.forms import Contraction, Convolution
from secateur.engine.repair.readers import find_readers

Axis = tuple[str, int]
Position = tuple[fx.Node, int]  # a value, and one of its dimensions

# Calls that pass on some channels, and leave the others to other calls.
_PARTS = frozenset("getitem slice narrow".split())
_NORMS = frozenset("layer_norm rms_norm group_norm".split())
_OTHER_PRODUCTS = frozenset("tensordot vdot cdist cosine_similarity pairwise_distance".split())
# The first of two operands, and how far from its end the second one's summed dimension is.
_OPERANDS = {
    **dict.fromkeys(["matmul", "mm", "bmm"], (0, 2)),
    **dict.fromkeys(["addmm", "baddbmm"], (1, 2)),
    "scaled_dot_product_attention": (0, 1),
}
_RECURRENT = frozenset("lstm gru rnn_tanh rnn_relu".split())
_CELLS = frozenset("lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell".split())


@dataclass(frozen=True)
class Merging:
    """Groups that can be merged.

    Attributes:
        summed: Axes whose slices are added when groups are merged; those of others are averaged.
        kinds: For every group, counted across all families, a number that groups with the same
            readers share; -1 for groups that cannot be merged.
    """

    summed: frozenset[Axis]
    kinds: NDArray[np.int64]


def find_merging(program: Program, analysis: Analysis) -> Merging:
    """Return which groups of a program can be merged."""
    sums = _sums(program, analysis)
    num_groups = sum(family.num_groups for family in analysis.families)
    is_blocked = np.zeros(num_groups, dtype=bool)
    first = 0
    for family in analysis.families:
        is_blocked[first : first + family.num_groups] = not family.is_exact
        first += family.num_groups
    for node in program.graph.nodes:
        if node.op == "call_function":
            for found in _blocked_by(node, analysis, is_read=node in sums):
                is_blocked[found] = True
    kinds = np.unique(_traces(program, analysis, num_groups), return_inverse=True)[1]
    axes = frozenset(axis for found in sums.values() for axis in found)
    return Merging(axes, np.where(is_blocked, -1, kinds))


def _traces(program: Program, analysis: Analysis, num_groups: int) -> NDArray[np.uint64]:
    """Return a hash for each group of where its channels occur, and in which order.

    A group may have several channels in one tensor. Two groups can only be merged if their first
    channels occur in the same places, their second ones, and so on.
    """
    axis_of = np.repeat(np.arange(len(analysis.axes)), np.diff(analysis.starts))
    slot_of = axis_of * len(axis_of) + _places(analysis.group_of_atom * len(axis_of) + axis_of)
    traces = np.zeros(num_groups, dtype=np.uint64)
    numbers = np.random.default_rng(0)
    for node in program.graph.nodes:
        for _, atoms in _labelled(node, analysis):
            groups = analysis.group_of_atom[atoms]
            factor, of_place, shift = numbers.integers(2**63, size=3, dtype=np.uint64)
            keys = slot_of[atoms].astype(np.uint64) * factor + shift
            keys += _places(groups).astype(np.uint64) * of_place
            np.add.at(traces, groups, _scrambled(keys))
    return traces


def _places(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each entry the number of equal entries before it."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    is_start = np.concatenate([[True], ranked[1:] != ranked[:-1]])[: len(values)]
    starts = np.maximum.accumulate(np.where(is_start, np.arange(len(values)), 0))
    found = np.empty_like(values)
    found[order] = np.arange(len(values)) - starts
    return found


def _scrambled(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return keys whose sums say which keys were added (splitmix64, Steele et al. 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _sums(program: Program, analysis: Analysis) -> dict[fx.Node, list[Axis]]:
    """Return the calls that sum over channels with a stored weight, and the weight's axes."""
    readers = find_readers(program, analysis.shapes, set(program.graph.nodes))
    found: dict[fx.Node, list[Axis]] = {}
    for node, reader in readers.items():
        shape, form, dims = program.tensors[reader.weight].shape, reader.form, [1]
        if isinstance(form, Contraction):
            dims = [dim for dim, c in enumerate(form.w) if c in form.x and c not in form.y]
        elif isinstance(form, Convolution) and form.spread:
            dims = [] if shape[0] == form.groups else [0]
        found[node] = [(reader.weight, dim) for dim in dims]
    for node in program.graph.nodes:
        weights = [] if node.op != "call_function" else _further_weights(node, analysis)
        if weights and all(w.op == "get_attr" and len(w.users) == 1 for w, _ in weights):
            found[node] = [(str(weight.target), dim) for weight, dim in weights]
    ways: dict[str, set[tuple[int, ...]]] = {}
    for axes in found.values():
        for tensor, _ in axes:
            ways.setdefault(tensor, set()).add(tuple(dim for name, dim in axes if name == tensor))
    return {
        node: axes
        for node, axes in found.items()
        if all(len(ways[tensor]) == 1 for tensor, _ in axes)
    }


def _further_weights(node: fx.Node, analysis: Analysis) -> list[Position]:
    """Return the weights of readers that repair does not refit, and the dimensions they sum."""
    name = op_name(node.target)
    arguments: Any = node.args
    if name == "deform_conv2d":
        return [(arguments[1], 1)]
    if name == "bilinear":
        return [(arguments[2], 1), (arguments[2], 2)]
    if name in _CELLS:
        return [(weight, 1) for weight in arguments[2:4]]
    if name in _RECURRENT:
        return [(w, 1) for w in arguments[2] if analysis.shapes[w].dim() > 1]
    return []


def _blocked_by(node: fx.Node, analysis: Analysis, *, is_read: bool) -> Iterator[NDArray[np.int64]]:
    """Yield the groups that a call would compute something else for, if they were merged."""
    of_atom = analysis.group_of_atom
    contracted = [] if is_read else _contracted(node, analysis)
    left = [of_atom[atoms] for _, atoms in _labelled(node, analysis)]
    for value in node.all_input_nodes:
        for dim, atoms in _labelled(value, analysis):
            groups = of_atom[atoms]
            if contracted is None or (value, dim) in contracted or _is_normed(node, groups):
                yield groups
            elif not is_read and op_name(node.target) not in _PARTS:
                yield groups[~np.isin(groups, np.concatenate([*left, groups[:0]]))]


def _is_normed(node: fx.Node, groups: NDArray[np.int64]) -> bool:
    """Return whether a call divides channels by a number that all of them share."""
    name = op_name(node.target)
    if name == "group_norm":  # a channel alone in its group is normalised over space
        return len(groups) != node.args[1]
    return name in _NORMS


def _contracted(node: fx.Node, analysis: Analysis) -> list[Position] | None:
    """Return the positions that a call sums over; None if it may be any of them."""
    name = op_name(node.target)
    arguments: Any = node.args
    shapes: Any = analysis.shapes
    found: list[Position] | None = []
    if name in _OPERANDS:  # a product of matrices, or of heads of attention
        first, offset = _OPERANDS[name]
        a, b = arguments[first : first + 2]
        found = [(a, shapes[a].dim() - 1), (b, shapes[b].dim() - offset)]
    elif name == "linear":
        found = [(arguments[0], shapes[arguments[0]].dim() - 1), (arguments[1], 1)]
    elif name.startswith("conv") and name != "convolution":
        weight, is_transposed = arguments[1], "transpose" in name
        groups = arguments[6] if len(arguments) > 6 else node.kwargs.get("groups", 1)  # noqa: PLR2004
        inputs = shapes[weight].shape[0] // groups if is_transposed else shapes[weight].shape[1]
        found = [(arguments[0], 1), (weight, 0 if is_transposed else 1)] if inputs > 1 else []
    elif name == "einsum":
        parsed = einsum_letters(str(arguments[0]), [shapes[each].dim() for each in arguments[1]])
        found = None if parsed is None else [
            (operand, dim)
            for operand, letters in zip(arguments[1], parsed[0], strict=True)
            for dim, letter in enumerate(letters)
            if letter not in parsed[1]
        ]  # fmt: skip
    elif name in CONTRACTIONS or name in _OTHER_PRODUCTS:
        found = None
    return found


def _labelled(node: fx.Node, analysis: Analysis) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the dimensions of a value that have groups, and the atoms of these groups."""
    found = analysis.labels.get(node, {})
    for labels in found if isinstance(found, list) else [found]:
        for dim, ids in labels.items():
            atoms = ids[ids >= 0].numpy()
            atoms = atoms[analysis.group_of_atom[atoms] >= 0]
            if len(atoms):
                yield dim, atoms
