"""What a network is trained for, as plain values."""

from dataclasses import dataclass
from typing import Literal

ObjectiveKind = Literal["cross_entropy", "distill", "mixed", "mse", "bce"]
LabelKind = Literal["classes", "binary", "multi_label", "numbers", "none"]


@dataclass(frozen=True)
class ObjectiveOptions:
    """What the network is trained for.

    Attributes:
        kind: ``cross_entropy`` (one class a sample), ``bce`` (two classes in one score,
            or any number of classes), ``mse``
            (numbers), ``distill`` (the teacher's outputs, no labels), or ``mixed`` (classes and
            teacher).
        label_smoothing: Of ``cross_entropy`` and of its part in ``mixed``.
        distill_weight: The teacher's share of ``mixed``; the labels have the rest.
        temperature: By which class scores are divided before student and teacher are compared.
        feature_weight: Of the attention maps, on top of the outputs; 0 leaves them out.
    """

    kind: ObjectiveKind = "cross_entropy"
    label_smoothing: float = 0.0
    distill_weight: float = 0.5
    temperature: float = 2.0
    feature_weight: float = 0.0

    @property
    def needs_teacher(self) -> bool:
        """Whether the dense network has to answer every batch too."""
        return self.kind in {"distill", "mixed"}
