"""Pooling."""

from math import prod

import torch
from torch import Tensor

from secateur.engine.onnx_in.call import Call, Function, aten
from secateur.engine.onnx_in.operators.convolution import pad, pads_of, space_of

_aten = torch.ops.aten
_LOWEST = float("-inf")


def _window(call: Call, x: Tensor) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
    """Return kernel, stride, dilation, and the padding before and after."""
    kernel = list(call.attribute("kernel_shape", []))
    sizes = space_of(call, x)
    if len(kernel) != len(sizes):
        call.refuse(f"has a kernel of {len(kernel)} dimensions for {len(sizes)}")
    stride = list(call.attribute("strides", [1] * len(kernel)))
    dilation = list(call.attribute("dilations", [1] * len(kernel)))
    before, after = pads_of(call, sizes, kernel, stride, dilation)
    return kernel, stride, dilation, before, after


def _fits(kernel: list[int], before: list[int], after: list[int]) -> bool:
    """Return whether torch's pooling can pad so itself."""
    return before == after and all(2 * p <= k for p, k in zip(before, kernel, strict=True))


def max_pool(call: Call) -> Tensor:
    """MaxPool, without indices."""
    if len(call.node.outputs) > 1 and call.node.outputs[1]:
        call.refuse("returns the positions of the maxima, which is not supported")
    x = call.tensor(0)
    kernel, stride, dilation, before, after = _window(call, x)
    if not _fits(kernel, before, after):
        x, before = pad(x, before, after, _LOWEST), [0] * len(kernel)
    packet = getattr(_aten, f"max_pool{len(kernel)}d").default
    ceil = bool(call.attribute("ceil_mode", 0))
    return aten(packet, x, kernel, stride, before, dilation, ceil)


def average_pool(call: Call) -> Tensor:
    """AveragePool."""
    x = call.tensor(0)
    kernel, stride, dilation, before, after = _window(call, x)
    if set(dilation) != {1}:
        call.refuse("has a dilation, which is not supported")
    counts_padding = bool(call.attribute("count_include_pad", 0))
    ceil = bool(call.attribute("ceil_mode", 0))
    packet = getattr(_aten, f"avg_pool{len(kernel)}d").default
    if _fits(kernel, before, after):
        return aten(packet, x, kernel, stride, before, ceil, counts_padding)
    if ceil:
        call.refuse("rounds sizes up with uneven padding, which is not supported")
    sums = aten(packet, pad(x, before, after), kernel, stride)
    if counts_padding:
        return sums
    ones = torch.ones([1, 1, *x.shape[2:]], dtype=x.dtype)
    return sums / aten(packet, pad(ones, before, after), kernel, stride)


def global_pool(call: Call) -> Tensor:
    """GlobalAveragePool and GlobalMaxPool."""
    x = call.tensor(0)
    space = len(space_of(call, x))
    kind = "avg" if call.node.operator == "GlobalAveragePool" else "max"
    if kind == "avg" and space > 1:
        return aten(getattr(_aten, f"adaptive_avg_pool{space}d").default, x, [1] * space)
    dims = list(range(2, x.dim()))
    return x.mean(dims, keepdim=True) if kind == "avg" else torch.amax(x, dims, keepdim=True)


def lp_pool(call: Call) -> Tensor:
    """LpPool and GlobalLpPool: the root of the summed powers of a window."""
    x, p = call.tensor(0), float(call.attribute("p", 2))
    if call.node.operator == "GlobalLpPool":
        dims = list(range(2, x.dim()))
        return aten(_aten.linalg_vector_norm.default, x, p, dims, True)
    kernel, stride, dilation, before, after = _window(call, x)
    if set(dilation) != {1} or call.attribute("ceil_mode", 0):
        call.refuse("has a dilation, or rounds sizes up, which is not supported")
    powers = pad(torch.abs(x).pow(p), before, after)
    packet = getattr(_aten, f"avg_pool{len(kernel)}d").default
    return torch.pow(aten(packet, powers, kernel, stride) * prod(kernel), 1 / p)


POOLING: dict[str, Function] = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "LpPool": lp_pool,
    "GlobalLpPool": lp_pool,
}
