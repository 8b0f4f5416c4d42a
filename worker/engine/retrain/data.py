"""Where samples come from: the protocol that the pipeline implements, and one over tensors.

A source is asked for batches by index, so it may be larger than memory. It returns inputs that are
already preprocessed; augmentation is the engine's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from worker.engine.errors import DataError


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


def check_labels(labels: Tensor | None, logits: Tensor) -> Tensor:
    """Return ``labels`` if they name classes of ``logits``.

    Raises:
        DataError: There are no labels, the output is not (N, classes), or a label is no class.
    """
    if labels is None:
        raise DataError("cross_entropy needs labels, and the data set has none")
    if logits.ndim != 2 or not logits.is_floating_point():  # noqa: PLR2004  # samples by classes
        shape = tuple(logits.shape)
        raise DataError(f"cross_entropy needs an output of shape (batch, classes), not {shape}")
    if labels.shape != logits.shape[:1] or labels.is_floating_point():
        shape = tuple(labels.shape)
        raise DataError(f"labels must be one integer for each sample, not {labels.dtype} {shape}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        wrong = low if low < 0 else high
        raise DataError(f"label {wrong} is outside the network's {logits.shape[1]} classes")
    return labels.long()
