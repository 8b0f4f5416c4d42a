"""The result of inference with ``variant="both"``."""

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
    """

    pruned: "NDArray[Any] | dict[str, NDArray[Any]]"
    base: "NDArray[Any] | dict[str, NDArray[Any]]"
    agreement: float
    max_difference: float
    pruned_seconds: float
    base_seconds: float
