"""Options of the training objective, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectiveOptions:
    """Options of the training objective.

    Attributes:
        kind: A name in `OBJECTIVES`.
        label_smoothing: Label smoothing of ``cross_entropy``, alone or as part of ``mixed``.
        distill_weight: The teacher's share in ``mixed``, in [0, 1]; the labels have the rest.
        temperature: Divisor of class scores before student and teacher are compared.
        feature_weight: Weight of the attention maps, added to the loss; 0 disables them.
        class_axis: Axis of the classes in the output of a text recogniser, 1 or 2.
        is_blank_first: Whether CTC's blank is the first class, otherwise the last.
    """

    kind: str = "cross_entropy"
    label_smoothing: float = 0.0
    distill_weight: float = 0.5
    temperature: float = 2.0
    feature_weight: float = 0.0
    class_axis: int = 2
    is_blank_first: bool = True
