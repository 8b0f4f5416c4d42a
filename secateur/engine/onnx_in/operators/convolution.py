"""Convolutions, and the padding that ONNX and torch describe differently."""

from collections.abc import Sequence

import torch
from torch import Tensor

from secateur.engine.onnx_in.call import Call, Function, aten, static_shape

_aten = torch.ops.aten
_MOST_SPACE = 3


def pads_of(
    call: Call, sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int],
    dilation: Sequence[int],
) -> tuple[list[int], list[int]]:  # fmt: skip
    """Return the padding before and after each spatial dimension."""
    space = len(kernel)
    auto = call.attribute("auto_pad", "NOTSET")
    if auto in {"NOTSET", ""}:
        pads = list(call.attribute("pads", [0] * 2 * space))
        return pads[:space], pads[space:]
    if auto == "VALID":
        return [0] * space, [0] * space
    call.check("auto_pad", "SAME_UPPER", "SAME_LOWER")
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    total = [
        max(0, (-(-size // step) - 1) * step + span - size)
        for size, step, span in zip(sizes, stride, spans, strict=True)
    ]
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    return (small, large) if auto == "SAME_UPPER" else (large, small)


def pad(x: Tensor, before: Sequence[int], after: Sequence[int], value: float = 0.0) -> Tensor:
    """Pad the last dimensions; negative sizes crop."""
    if not any((*before, *after)):
        return x
    amounts = [n for pair in zip(reversed(before), reversed(after), strict=True) for n in pair]
    return aten(_aten.pad.default, x, amounts, "constant", value)


def space_of(call: Call, x: Tensor) -> list[int]:
    """Return the spatial sizes of an image, sequence or volume."""
    if not 1 <= x.dim() - 2 <= _MOST_SPACE:
        call.refuse(f"takes an input of rank {x.dim()}; it must be 3, 4 or 5")
    return static_shape(call, x, 2)


def convolution(call: Call) -> Tensor:
    """Conv."""
    x, weight, bias = call.tensor(0), call.weight(1), call.maybe_weight(2)
    sizes = space_of(call, x)
    kernel = list(weight.shape[2:])
    space = len(sizes)
    stride = list(call.attribute("strides", [1] * space))
    dilation = list(call.attribute("dilations", [1] * space))
    before, after = pads_of(call, sizes, kernel, stride, dilation)
    if before != after or min(before) < 0:
        x, before = pad(x, before, after), [0] * space
    packet = getattr(_aten, f"conv{space}d").default
    return aten(packet, x, weight, bias, stride, before, dilation, call.attribute("group", 1))


def transposed_convolution(call: Call) -> Tensor:
    """ConvTranspose."""
    x, weight, bias = call.tensor(0), call.weight(1), call.maybe_weight(2)
    sizes = space_of(call, x)
    kernel, space = list(weight.shape[2:]), len(sizes)
    stride = list(call.attribute("strides", [1] * space))
    dilation = list(call.attribute("dilations", [1] * space))
    more = list(call.attribute("output_padding", [0] * space))
    full = [
        (size - 1) * step + d * (k - 1) + 1 + extra
        for size, step, d, k, extra in zip(sizes, stride, dilation, kernel, more, strict=True)
    ]
    before, after = _transposed_pads(call, sizes, stride, full)
    crop = [0] * space
    if before == after and min(before) >= 0:
        crop = before
    packet = getattr(_aten, f"conv_transpose{space}d")
    packet = packet.default if space == 1 else packet.input
    group = call.attribute("group", 1)
    found = aten(packet, x, weight, bias, stride, crop, more, group, dilation)
    if crop == before == after:
        return found
    return pad(found, [-n for n in before], [-n for n in after])


def _transposed_pads(
    call: Call, sizes: list[int], stride: list[int], full: list[int]
) -> tuple[list[int], list[int]]:
    """Return what is cropped before and after; ``output_shape`` determines it where given."""
    auto, space = call.attribute("auto_pad", "NOTSET"), len(full)
    wanted = call.attribute("output_shape")
    if wanted is None and auto in {"SAME_UPPER", "SAME_LOWER"}:
        wanted = [size * step for size, step in zip(sizes, stride, strict=True)]
    if wanted is None:
        pads = [0] * 2 * space if auto == "VALID" else list(call.attribute("pads", [0] * 2 * space))
        return pads[:space], pads[space:]
    total = [size - want for size, want in zip(full, list(wanted)[-space:], strict=True)]
    half = [t // 2 for t in total]
    rest = [t - h for t, h in zip(total, half, strict=True)]
    return (half, rest) if auto == "SAME_UPPER" else (rest, half)


CONVOLUTION: dict[str, Function] = {"Conv": convolution, "ConvTranspose": transposed_convolution}
