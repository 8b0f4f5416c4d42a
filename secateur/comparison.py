"""What ``variant="both"`` answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Comparison:
    """What the pruned and the dense network answer to the same inputs.

    Attributes:
        pruned: The named model's outputs: an array, or arrays by name where there are several.
        base: Those of the model that it was pruned from.
        agreement: Share of samples with the same best class; without classes, of values within a
            hundredth of the largest.
        max_difference: Of any two values.
        pruned_seconds: What the batch took to compute.
        base_seconds: Likewise.
    """

    pruned: "NDArray[Any] | dict[str, NDArray[Any]]"
    base: "NDArray[Any] | dict[str, NDArray[Any]]"
    agreement: float
    max_difference: float
    pruned_seconds: float
    base_seconds: float
