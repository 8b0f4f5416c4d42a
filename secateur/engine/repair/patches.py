"""Rows of convolutions: the patch of inputs that each output position reads."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def patches(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    positions: Tensor,
) -> Tensor:
    """Return the patches of a convolution, (positions, channels, taps).

    Args:
        x: Inputs (N, C, …).
        kernel: Size of the kernel along each spatial dimension.
        stride: Stride along each.
        padding: Zeros before and after each; negative amounts crop.
        dilation: Distance between taps along each.
        positions: Flat indices of output positions, over samples and space.
    """
    amounts = [amount for pair in reversed(padding) for amount in pair]
    x = F.pad(x, amounts) if any(amounts) else x
    x = x.contiguous()
    space = range(len(kernel))
    sizes = [(x.shape[2 + d] - dilation[d] * (kernel[d] - 1) - 1) // stride[d] + 1 for d in space]
    steps = x.stride()
    view = x.as_strided(
        (x.shape[0], *sizes, x.shape[1], *kernel),
        (
            steps[0],
            *(steps[2 + d] * stride[d] for d in space),
            steps[1],
            *(steps[2 + d] * dilation[d] for d in space),
        ),
    )
    places = torch.unravel_index(positions, (x.shape[0], *sizes))
    return view[places].flatten(2)


def spread_out(x: Tensor, stride: Sequence[int], after: Sequence[int]) -> Tensor:
    """Return the inputs of a transposed convolution with zeros between and after them.

    Args:
        x: Inputs (N, C, …).
        stride: Distance of neighbours in the result, along each spatial dimension.
        after: Zeros after the last, along each.
    """
    sizes = [
        (size - 1) * step + 1 + more
        for size, step, more in zip(x.shape[2:], stride, after, strict=True)
    ]
    found = x.new_zeros((*x.shape[:2], *sizes))
    place = tuple(
        slice(0, (size - 1) * step + 1, step)
        for size, step in zip(x.shape[2:], stride, strict=True)
    )
    found[(slice(None), slice(None), *place)] = x
    return found
