"""The record of how networks are scored against one kind of labels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from secateur.engine.metrics.doubt import Doubt
from secateur.engine.metrics.metric import Metric
from secateur.engine.objectives.labels import LabelKind
from secateur.engine.objectives.outputs import Activation


class Tally(Protocol):
    """Sums up how good outputs are, batch by batch."""

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Take in a batch: float outputs, labels, and the reference's outputs if there is one."""
        ...

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        ...

    def loss(self, num_samples: int) -> float:
        """Return the mean loss of all samples."""
        ...

    def doubt(self, num_samples: int) -> Doubt:
        """Return how far the metric that counts may be off."""
        ...


class LossSum:
    """The part that tallies share: a loss summed over samples, and no known doubt."""

    def __init__(self) -> None:
        self.loss_sum = 0.0

    def loss(self, num_samples: int) -> float:
        """Return the mean loss of all samples."""
        return self.loss_sum / max(1, num_samples)

    def doubt(self, num_samples: int) -> Doubt:
        """Return how far the metric that counts may be off."""
        del num_samples
        return Doubt()


@dataclass(frozen=True)
class Scoring:
    """How networks are scored against one kind of labels.

    Attributes:
        labels: The kind.
        words: What people call such labels.
        loss_words: The name of the loss on held-out samples.
        metrics: In order: of those that a network has, the first counts.
        tally: Makes the sums, given the activation that ends the first output; None where there
            are no labels, and the reference is what a network is compared with.
    """

    labels: LabelKind
    words: str
    loss_words: str
    metrics: tuple[Metric, ...]
    tally: Callable[[Activation], Tally] | None
