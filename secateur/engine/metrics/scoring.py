"""The record of a label kind's metrics and loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from secateur.engine.metrics.doubt import ByClass, Doubt
from secateur.engine.metrics.metric import Metric
from secateur.engine.metrics.reading import Reading
from secateur.engine.objectives.labels import LabelKind
from secateur.engine.objectives.objective import Objective
from secateur.engine.objectives.outputs import Activation


class Tally(Protocol):
    """Accumulator of metrics over batches."""

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Add a batch: float outputs, labels, and the reference's outputs if there is one."""
        ...

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        ...

    def loss(self, num_samples: int) -> float:
        """Return the mean loss of all samples."""
        ...

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of the primary metric."""
        ...

    def by_class(self, num_samples: int) -> tuple[ByClass, ...]:
        """Return the metrics of every class; empty for labels without metrics of classes."""
        ...


class LossSum:
    """Base of the tallies: a loss summed over samples, and no known interval.

    Sums are tensors on the outputs' device until they are asked for: the host then waits for an
    accelerator once, not in every batch.
    """

    def __init__(self) -> None:
        self.loss_sum = torch.zeros((), dtype=torch.float64)

    def loss(self, num_samples: int) -> float:
        """Return the mean loss of all samples."""
        return float(self.loss_sum) / max(1, num_samples)

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of the primary metric."""
        del num_samples
        return Doubt()

    def by_class(self, num_samples: int) -> tuple[ByClass, ...]:
        """Return the metrics of every class; none."""
        del num_samples
        return ()


@dataclass(frozen=True)
class Scoring:
    """Metrics and loss for one kind of labels.

    Attributes:
        labels: Name of the kind of labels.
        objective: Default objective of training.
        words: Name of the kind in reports.
        loss_words: Name of the held-out loss in reports.
        metrics: Metrics by priority; the first that applies to a network is the primary metric.
        tally: Returns a new tally, given the activation that ends the first output and the form of
            the outputs. None without labels: the network is compared with the reference only.
        needs_reference: Whether the held-out loss compares with the reference's outputs.
    """

    labels: LabelKind
    objective: Objective
    words: str
    loss_words: str
    metrics: tuple[Metric, ...]
    tally: Callable[[Activation, Reading], Tally] | None
    needs_reference: bool = False
