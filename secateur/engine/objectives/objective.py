"""The record of an objective: its loss, the labels it fits, and whether it needs the teacher."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from secateur.engine.objectives.labels import LabelKind
from secateur.engine.objectives.options import ObjectiveOptions
from secateur.engine.objectives.outputs import Activation


@dataclass(frozen=True)
class Answers:
    """What the network, the labels and the teacher say about one batch.

    Attributes:
        found: The network's float outputs, (N, ...) each; at least one.
        labels: As `samples.SampleSource.batch` returns them.
        taught: The teacher's float outputs; empty without a teacher.
        activation: The activation that ends the first output.
        scales: The variance of each of the teacher's outputs; empty without a teacher.
    """

    found: list[Tensor]
    labels: Tensor | None
    taught: list[Tensor]
    activation: Activation
    scales: tuple[float, ...]


@dataclass(frozen=True)
class Objective:
    """One thing that a network can be trained for.

    Attributes:
        name: What configs call it.
        words: What the network learns from, to end the sentence "It was trained …".
        loss_words: The name of its loss.
        loss: Returns the mean loss of a batch, a scalar.
        labels: The kinds of labels that it fits; empty: any, and none.
        default_for: The kinds of labels that it is the default for.
        needs_teacher: Whether the dense network has to answer every batch too.
    """

    name: str
    words: str
    loss_words: str
    loss: Callable[[Answers, ObjectiveOptions], Tensor]
    labels: tuple[LabelKind, ...] = ()
    default_for: tuple[LabelKind, ...] = ()
    needs_teacher: bool = False
