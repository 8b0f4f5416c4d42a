"""The record of an objective: its loss, its label kinds, and whether it needs a teacher."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from secateur.engine.objectives.labels import LabelKind
from secateur.engine.objectives.options import ObjectiveOptions
from secateur.engine.objectives.outputs import Activation


@dataclass(frozen=True)
class Answers:
    """Outputs of network and teacher for one batch, and its labels.

    Attributes:
        found: The network's float outputs, (N, ...) each; at least one.
        labels: Labels as `samples.SampleSource.batch` returns them.
        taught: The teacher's float outputs; empty without a teacher.
        activation: The activation that ends the first output.
        scales: Variance of each of the teacher's outputs; empty without a teacher.
    """

    found: list[Tensor]
    labels: Tensor | None
    taught: list[Tensor]
    activation: Activation
    scales: tuple[float, ...]


@dataclass(frozen=True)
class Objective:
    """One training objective.

    Attributes:
        name: Name in configs.
        words: End of the sentence "It was trained …" in reports.
        loss_words: Name of the loss in reports.
        loss: Returns the mean loss of a batch, a scalar.
        labels: Kinds of labels that the objective accepts besides those whose default it is
            (`Scoring.objective`); None accepts any kind, and unlabelled data.
        needs_teacher: Whether the dense network runs on every batch too.
        is_before_ending: Whether outputs are compared before a last softmax or sigmoid
            (`outputs.before_endings`).
    """

    name: str
    words: str
    loss_words: str
    loss: Callable[[Answers, ObjectiveOptions], Tensor]
    labels: tuple[LabelKind, ...] | None = ()
    needs_teacher: bool = False
    is_before_ending: bool = False
