"""Norms over channels that count removed ones as zeros, as the masked twin does.

The smaller network pads the norm's input and affine weights with zeros to the original size, calls
the same operator, and takes the kept channels of its result. This keeps the fused kernel; the
statistics of the kept channels over the original count, written out, take longer (measured).
"""

from typing import Any

import torch
from torch import fx

from secateur.engine.program.functional import op_name
from secateur.engine.surgery.resized import Resized

_PAD = torch.ops.aten.constant_pad_nd.default
_SLICE = torch.ops.aten.slice.Tensor
_SPLIT, _JOIN = torch.ops.aten.unflatten.int, torch.ops.aten.flatten.using_ints


def padded_norm(call: Resized) -> fx.Node | None:
    """Pad a norm's input, and return the kept part of its result; None if it loses no channels."""
    if op_name(call.node.target) == "group_norm":
        return _padded_groups(call)
    sizes = list(call.literal(1, "normalized_shape"))
    first = call.analysis.shapes[call.node].dim() - len(sizes)
    kept = list(sizes)
    for own in range(len(sizes)):
        stays = call.kept(call.node.args[0], first + own)
        kept[own] = sizes[own] if stays is None else int(stays.sum())
    if kept == sizes:
        return None
    amounts = [n for own in reversed(range(len(sizes))) for n in (0, sizes[own] - kept[own])]
    for place, name in enumerate(("input", "normalized_shape", "weight", "bias")):
        if name != "normalized_shape":
            _replace(call.copied, place, name, lambda value: _padded(call, value, amounts))
    found = call.copied
    for own, size in enumerate(kept):
        if size != sizes[own]:
            found = _after(found, call, _SLICE, first + own, 0, size, 1)
    return found


def _padded_groups(call: Resized) -> fx.Node | None:
    stays = call.kept(call.node.args[0], 1)
    if stays is None or stays.all():
        return None
    num_groups = int(call.literal(1, "num_groups"))
    size, kept = len(stays) // num_groups, int(stays.sum()) // num_groups
    rank = call.analysis.shapes[call.node].dim()

    def padded(value: fx.Node, dim: int, num_after: int) -> fx.Node:
        graph = call.copied.graph
        with graph.inserting_before(call.copied):
            split = graph.call_function(_SPLIT, (value, dim, [num_groups, kept]))
            full = graph.call_function(_PAD, (split, [0, 0] * num_after + [0, size - kept]))
            return graph.call_function(_JOIN, (full, dim, dim + 1))

    _replace(call.copied, 0, "input", lambda x: padded(x, 1, rank - 2))
    for place, name in ((2, "weight"), (3, "bias")):
        _replace(call.copied, place, name, lambda value: padded(value, 0, 0))
    found = _after(call.copied, call, _SPLIT, 1, [num_groups, size])
    found = _after(found, call, _SLICE, 2, 0, kept, 1)
    return _after(found, call, _JOIN, 1, 2)


def _padded(call: Resized, value: fx.Node, amounts: list[int]) -> fx.Node:
    with call.copied.graph.inserting_before(call.copied):
        return call.copied.graph.call_function(_PAD, (value, amounts))


def _after(value: fx.Node, call: Resized, target: Any, *arguments: Any) -> fx.Node:  # noqa: ANN401  # an operator
    graph = call.copied.graph
    with graph.inserting_after(value):
        return graph.call_function(target, (value, *arguments))


def _replace(node: fx.Node, place: int, name: str, change: Any) -> None:  # noqa: ANN401  # a function
    """Replace an argument that is a value, by position or by name."""
    if len(node.args) > place:
        value = node.args[place]
        if isinstance(value, fx.Node):
            node.args = (*node.args[:place], change(value), *node.args[place + 1 :])
    elif isinstance(node.kwargs.get(name), fx.Node):
        node.kwargs = {**node.kwargs, name: change(node.kwargs[name])}
