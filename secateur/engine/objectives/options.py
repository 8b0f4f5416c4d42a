"""What a network is trained for, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectiveOptions:
    """What the network is trained for.

    Attributes:
        kind: A name in `OBJECTIVES`.
        label_smoothing: Of ``cross_entropy`` and of its part in ``mixed``.
        distill_weight: The teacher's share of ``mixed``; the labels have the rest.
        temperature: By which class scores are divided before student and teacher are compared.
        feature_weight: Of the attention maps, on top of the outputs; 0 leaves them out.
    """

    kind: str = "cross_entropy"
    label_smoothing: float = 0.0
    distill_weight: float = 0.5
    temperature: float = 2.0
    feature_weight: float = 0.0
