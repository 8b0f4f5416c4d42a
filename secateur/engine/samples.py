"""Sample sources: the protocol that the pipeline implements, and a source over tensors.

Batches are read by index, so a source may be larger than memory. Inputs are already preprocessed;
the engine applies augmentation.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class SampleSource(Protocol):
    """Preprocessed samples by index."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return float inputs (N, ...) and labels of the samples ``indices``.

        Labels are int64 (N,) for classes, floats (N, ...) for numbers, zeros and ones (N, K) for
        several classes per sample, and None without labels.
        """
        ...


@dataclass(frozen=True)
class TensorSource:
    """Samples that are already in memory."""

    x: Tensor
    y: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the chosen inputs and labels."""
        return self.x[indices], None if self.y is None else self.y[indices]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a CPU tensor on ``device``.

    It is copied from pinned memory, which torch's allocator reuses, and the host does not wait.
    """
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def spread(indices: Tensor, most: int) -> Tensor:
    """Return at most ``most`` indices, evenly spaced, because files are often sorted by class."""
    if len(indices) <= most:
        return indices
    return indices[torch.arange(most) * len(indices) // most]


def iterate(
    source: SampleSource, indices: Tensor, batch_size: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield the samples ``indices`` in order, in batches."""
    yield from read_ahead(source, torch.split(indices, batch_size))


def read_ahead(
    source: SampleSource, chunks: Sequence[Tensor]
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield a batch for each chunk of indices; the next one is read while this one is used."""
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        pending = [reader.submit(source.batch, chunk) for chunk in chunks[:1]]
        for following in (*chunks[1:], None):
            batch = pending.pop().result()
            if following is not None:
                pending.append(reader.submit(source.batch, following))
            yield batch
