"""Operators that move elements: transpose, slice, join, pad."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from secateur.engine.onnx_in.batch import give_batch
from secateur.engine.onnx_in.call import Call, Function, aten, is_symbol, static_shape

_aten = torch.ops.aten
_LARGEST = 2**62


def transpose(call: Call) -> Tensor:
    """Transpose."""
    x = call.tensor(0)
    dims = list(call.attribute("perm", reversed(range(x.dim()))))
    return x if dims == list(range(x.dim())) else aten(_aten.permute.default, x, dims)


def concat(call: Call) -> Tensor:
    """Concat."""
    parts = [call.tensor(index) for index in range(len(call.values))]
    axis = call.attribute("axis", 1)
    return aten(_aten.cat.default, give_batch(call, parts, axis % parts[0].dim()), axis)


def split(call: Call) -> list[Tensor]:
    """Split: sizes as attribute or input, or equal parts."""
    x = call.tensor(0)
    axis = call.attribute("axis", 0) % x.dim()
    sizes = call.listed("split", 1)
    if sizes is None:
        parts = len(call.node.outputs)
        size = static_shape(call, x, axis)[0]
        chunk = -(-size // parts)
        sizes = [min(chunk, size - start) for start in range(0, size, chunk)]
    if len(sizes) != len(call.node.outputs):
        call.refuse(f"has {len(sizes)} sizes for {len(call.node.outputs)} outputs")
    return list(_aten.split_with_sizes.default(x, list(sizes), axis))


def slice_(call: Call) -> Tensor:
    """Slice: its arguments are attributes before opset 10."""
    x = call.tensor(0)
    starts, ends = call.listed("starts", 1) or [], call.listed("ends", 2) or []
    axes = call.listed("axes", 3) or list(range(len(starts)))
    steps = call.numbers(4) if call.has(4) else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        x = _cut(call, x, axis % x.dim(), start, end, step)
    return x


def _cut(call: Call, x: Tensor, dim: int, start: Any, end: Any, step: int) -> Tensor:  # noqa: ANN401  # numbers, or the batch size
    size = x.shape[dim]
    if start == 0 and step == 1 and (end is size or end >= _LARGEST):
        return x
    if is_symbol(size):
        call.refuse("takes some of the samples")
    if step < 0:
        if step == -1 and (start == -1 or start >= size - 1) and end < -size:
            return aten(_aten.flip.default, x, [dim])
        call.refuse(f"has the step {step}, which is not supported")
    return aten(_aten.slice.Tensor, x, dim, start, min(end, _LARGEST), step)


def gather(call: Call) -> Tensor:
    """Gather: one position, a list of them, or the rows of a table."""
    x = call.tensor(0)
    axis = call.attribute("axis", 0) % x.dim()
    index = call.value(1)
    if is_symbol(x.shape[axis]):
        if x.dim() > 1 or not isinstance(index, Tensor):
            call.refuse("takes some of the samples")
        # `flat` checks afterwards that each sample reads its own values.
        found = _aten.index_select.default(x, 0, index.reshape(-1))
        return aten(_aten.reshape.default, found, list(index.shape))
    if isinstance(index, np.ndarray):
        if index.ndim == 0:
            return aten(_aten.select.int, x, axis, int(index))
        index = np.where(index < 0, index + x.shape[axis], index).astype(np.int64)
        flat = torch.from_numpy(index.reshape(-1).copy())
    elif axis == 0:
        return aten(_aten.embedding.default, x, index)
    else:
        flat = index.reshape(-1)
    found = aten(_aten.index_select.default, x, axis, flat)
    return found if index.ndim == 1 else torch.unflatten(found, axis, list(index.shape))


def gather_elements(call: Call) -> Tensor:
    """GatherElements."""
    return aten(
        _aten.gather.default, call.tensor(0), call.attribute("axis", 0), call.tensor(1).long()
    )


def tile(call: Call) -> Tensor:
    """Tile."""
    return aten(_aten.repeat.default, call.tensor(0), call.numbers(1))


def pad(call: Call) -> Tensor:
    """Pad, also with negative amounts."""
    x = call.tensor(0)
    amounts = list(call.listed("pads", 1) or [])
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}[
        call.attribute("mode", "constant")
    ]
    half = len(amounts) // 2
    axes = [axis % x.dim() for axis in (call.numbers(3) if call.has(3) else range(half))]
    by_axis = dict(zip(axes, zip(amounts[:half], amounts[half:], strict=True), strict=True))
    padded = [dim for dim, pair in by_axis.items() if any(pair)]
    if not padded:
        return x
    flat = [n for dim in range(x.dim() - 1, min(padded) - 1, -1) for n in by_axis.get(dim, (0, 0))]
    if mode == "constant":
        value = call.attribute("value", 0.0) if not call.has(2) else call.number(2)
        return aten(_aten.pad.default, x, flat, mode, value)
    return aten(_aten.pad.default, x, flat, mode)


def depth_to_space(call: Call) -> Tensor:
    """DepthToSpace, in both orders of channels."""
    x, block = call.tensor(0), call.attribute("blocksize")
    if call.attribute("mode", "DCR") == "CRD":
        return aten(_aten.pixel_shuffle.default, x, block)
    channels, height, width = static_shape(call, x, 1)
    x = x.reshape(-1, block, block, channels // block**2, height, width)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(
        -1, channels // block**2, height * block, width * block
    )


def space_to_depth(call: Call) -> Tensor:
    """SpaceToDepth."""
    x, block = call.tensor(0), call.attribute("blocksize")
    channels, height, width = static_shape(call, x, 1)
    x = x.reshape(-1, channels, height // block, block, width // block, block)
    return x.permute(0, 3, 5, 1, 2, 4).reshape(
        -1, channels * block**2, height // block, width // block
    )


def trilu(call: Call) -> Tensor:
    """Trilu."""
    k = call.number(1) if call.has(1) else 0
    packet = _aten.triu if call.attribute("upper", 1) else _aten.tril
    return aten(packet.default, call.tensor(0), k)


def one_hot(call: Call) -> Tensor:
    """OneHot over a known depth."""
    depth = int(call.number(1))
    off, on = call.numbers(2)
    found = torch.nn.functional.one_hot(call.tensor(0).long() % depth, depth) * (on - off) + off
    axis = call.attribute("axis", -1)
    return torch.movedim(found, -1, axis)


def fold(call: Call) -> Tensor:
    """Col2Im, torch's fold, with equal padding on both sides."""
    image, block = call.numbers(1), call.numbers(2)
    space = len(image)
    pads = list(call.attribute("pads", [0] * 2 * space))
    if space != 2 or pads[:2] != pads[2:]:  # noqa: PLR2004  # images
        call.refuse("folds something else than images with even padding")
    dilation, stride = (
        list(call.attribute(name, [1] * space)) for name in ("dilations", "strides")
    )
    return aten(_aten.col2im.default, call.tensor(0), image, block, dilation, pads[:2], stride)


MOVEMENT: dict[str, Function] = {
    "Transpose": transpose,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Gather": gather,
    "GatherElements": gather_elements,
    "Tile": tile,
    "Pad": pad,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Trilu": trilu,
    "OneHot": one_hot,
    "Col2Im": fold,
}
