"""Workaround for oneDNN's broken weight gradient of strided 1x1 convolutions.

oneDNN's AVX2 and AVX-512 kernels for this gradient write past their workspace if the input is
channels_last and has fewer channels than one block (8 or 16). The result is wrong gradients, a hang
or a corrupted heap (uxlfoundation/oneDNN#6035, open in November 2026; seen with torch 2.14 on
AVX2). A pruned ResNet's shortcuts are such convolutions. Slicing the input by the stride first and
convolving without one computes the same sum in the same order.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

CONV2D = torch.ops.aten.conv2d.default


def conv2d(  # noqa: PLR0913, PLR0917  # ATen's own signature
    x_NCHW: Tensor,
    weight_OIKK: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Return what ``aten.conv2d`` returns, for the same arguments."""
    rows, columns = (*stride, *stride)[:2]
    is_pointwise = weight_OIKK.shape[2:] == (1, 1) and not any(padding)
    is_affected = x_NCHW.device.type == "cpu"  # elsewhere the slice would only cost a copy
    if is_affected and is_pointwise and (rows > 1 or columns > 1):
        x_NCHW, stride = x_NCHW[:, :, ::rows, ::columns], (1, 1)
    found: Tensor = CONV2D(x_NCHW, weight_OIKK, bias, stride, padding, dilation, groups)
    return found
