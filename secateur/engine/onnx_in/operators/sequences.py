"""Sequences of tensors, which PyTorch's exporter writes for splits into parts of unequal sizes."""

from typing import Any

import torch
from torch import Tensor

from secateur.engine.onnx_in.batch import give_batch
from secateur.engine.onnx_in.call import Call, Function, aten, static_shape

_aten = torch.ops.aten
Sequence = tuple[Tensor, ...]


def _parts(call: Call, index: int) -> Sequence:
    found: Any = call.value(index)
    if not isinstance(found, tuple):
        call.refuse(f"has no sequence as its input {index}")
    return found


def split_to_sequence(call: Call) -> list[Sequence]:
    """SplitToSequence: by sizes, into parts of one size, or into single slices."""
    x = call.tensor(0)
    axis = call.attribute("axis", 0) % x.dim()
    size = static_shape(call, x, axis)[0]
    if not call.has(1):
        parts = _aten.split_with_sizes.default(x, [1] * size, axis)
        if call.attribute("keepdims", 1):
            return [tuple(parts)]
        return [tuple(_aten.squeeze.dims(part, [axis]) for part in parts)]
    sizes = call.numbers(1)
    if call.known(1).ndim == 0:
        whole, rest = divmod(size, max(1, sizes[0]))
        sizes = [sizes[0]] * whole + [rest] * (rest > 0)
    return [tuple(_aten.split_with_sizes.default(x, sizes, axis))]


def sequence_at(call: Call) -> Tensor:
    """SequenceAt with a known position."""
    parts, at = _parts(call, 0), call.number(1)
    if not -len(parts) <= at < len(parts):
        call.refuse(f"takes part {at} of {len(parts)}")
    part: Tensor = parts[at]
    return part


def sequence_construct(call: Call) -> list[Sequence]:
    """SequenceConstruct."""
    return [tuple(call.tensor(index) for index in range(len(call.values)))]


def concat_from_sequence(call: Call) -> Tensor:
    """ConcatFromSequence: joined, or stacked along a new axis."""
    parts, axis = list(_parts(call, 0)), call.attribute("axis", 0)
    if call.attribute("new_axis", 0):
        axis %= parts[0].dim() + 1
        parts = [_aten.unsqueeze.default(part, axis) for part in parts]
    axis %= parts[0].dim()
    return aten(_aten.cat.default, give_batch(call, parts, axis), axis)


SEQUENCES: dict[str, Function] = {
    "SplitToSequence": split_to_sequence,
    "SequenceAt": sequence_at,
    "SequenceConstruct": sequence_construct,
    "ConcatFromSequence": concat_from_sequence,
}
