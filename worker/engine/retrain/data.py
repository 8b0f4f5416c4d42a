"""Where samples come from: the protocol that the pipeline implements, and one over tensors.

A source is asked for batches by index, so it may be larger than memory. It returns inputs that are
already preprocessed; augmentation is the engine's.
"""

from collections.abc import Iterator
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
        """Return float inputs (N, ...) and int64 labels (N,) of the samples ``indices``.

        The labels are None where the source has none.
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


@dataclass(frozen=True)
class TrainingData:
    """A source and which of its samples train and validate.

    Attributes:
        source: The samples.
        train: int64 indices of the training samples.
        validation: int64 indices of the samples on which every epoch is scored; may be empty.
    """

    source: SampleSource
    train: Tensor
    validation: Tensor


def iterate(
    source: SampleSource, indices: Tensor, batch_size: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield the samples ``indices`` in order, in batches."""
    for chunk in torch.split(indices, batch_size):
        yield source.batch(chunk)
