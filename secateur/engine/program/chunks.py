"""Samples in batches of the one size that a network takes, for files whose batch stays fixed.

The last batch is filled with the first samples, and the outputs of the filling are discarded. An
output without a dimension for the batch, which a file made for one sample may have, gets one.
Called by `module`, and by sessions over ONNX files.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Batch = tuple[Tensor, ...]


def chunked(inputs: Sequence[Tensor], size: int) -> list[Batch]:
    """Return inputs (N, ...) in batches of exactly ``size`` samples; the last one is filled."""
    count = len(inputs[0])
    missing = -count % size
    if missing:
        order = torch.arange(count + missing, device=inputs[0].device) % count
        inputs = [x[order] for x in inputs]
    return list(zip(*(x.split(size) for x in inputs), strict=True))


def whole_chunks(batches: Sequence[Batch], size: int | None) -> list[Batch]:
    """Return the samples of batches of any size in batches of ``size``; None: as they are.

    Samples that do not fill a batch are left out, so that none counts twice, unless there are no
    others.
    """
    if size is None or not batches:
        return list(batches)
    inputs = tuple(map(torch.cat, zip(*batches, strict=True)))
    count = len(inputs[0]) // size * size
    return chunked([x[:count] for x in inputs] if count else inputs, size)


def joined(parts: Sequence[Sequence[Any]], size: int, count: int) -> list[Any]:
    """Return the flat outputs for ``count`` samples from those of every batch of ``size``."""
    return [_joined(values, size, count) for values in zip(*parts, strict=True)]


def _joined(values: Sequence[Any], size: int, count: int) -> Any:  # noqa: ANN401  # any output
    first = values[0]
    if not isinstance(first, Tensor):
        return first
    if first.dim() and len(first) == size:
        return torch.cat(list(values))[:count]
    if size == 1:
        return torch.stack(list(values))
    return torch.cat(list(values)) if first.dim() else first
