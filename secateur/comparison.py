"""The result of inference with ``variant="both"`` or ``"all"``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Comparison:
    """Outputs of the pruned and the dense network for the same inputs.

    Attributes:
        pruned: Outputs of the pruned model: an array, or arrays by name if there are several.
        base: Outputs of the model it was pruned from.
        agreement: The share of samples with the same most likely class; without classes, the share
            of values that differ by less than a hundredth of the largest value.
        max_difference: The largest absolute difference of two corresponding values.
        pruned_seconds: Computing time of the pruned model's batch.
        base_seconds: Computing time of the base model's batch.
        int8: Outputs of the pruned model's int8 form; None unless ``all`` was asked for, as the
            next ones.
        int8_agreement: Its agreement with the pruned model.
        int8_max_difference: Its largest difference from the pruned model.
        int8_seconds: Computing time of its batch.
    """

    pruned: "NDArray[Any] | dict[str, NDArray[Any]]"
    base: "NDArray[Any] | dict[str, NDArray[Any]]"
    agreement: float
    max_difference: float
    pruned_seconds: float
    base_seconds: float
    int8: "NDArray[Any] | dict[str, NDArray[Any]] | None" = None
    int8_agreement: float | None = None
    int8_max_difference: float | None = None
    int8_seconds: float | None = None
