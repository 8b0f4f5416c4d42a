"""Comparison of the dense and the pruned network's outputs for the same input."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.serving.description import Arrays

_SCORES_RANK = 2
_TOLERANCE = 1e-2  # relative to the largest value, for outputs without classes


@dataclass(frozen=True)
class Comparison:
    """Differences between two networks' outputs.

    Attributes:
        agreement: Share of samples with the same best class; without classes, share of values that
            differ by less than a hundredth of the largest.
        max_difference: Largest absolute difference between two values.
        num_agreeing: Number of samples or values that agree.
        num_compared: Number of samples or values compared.
    """

    agreement: float
    max_difference: float
    num_agreeing: int
    num_compared: int


def compare(base: Arrays, pruned: Arrays) -> Comparison:
    """Compare the outputs that both networks have with equal shapes."""
    num_agreeing = num_compared = 0
    largest = 0.0
    for name in base.keys() & pruned.keys():
        one, other = base[name], pruned[name]
        if one.shape != other.shape or not one.size or one.dtype.kind not in "fiub":
            continue
        one, other = one.astype(np.float64), other.astype(np.float64)
        largest = max(largest, float(np.abs(one - other).max()))
        agreeing = _agreeing(one, other)
        num_agreeing += int(agreeing.sum())
        num_compared += agreeing.size
    share = num_agreeing / num_compared if num_compared else 0.0
    return Comparison(share, largest, num_agreeing, num_compared)


def _agreeing(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    if one.ndim == _SCORES_RANK and one.shape[1] > 1:
        same: NDArray[np.bool_] = one.argmax(axis=1) == other.argmax(axis=1)
        return same
    near: NDArray[np.bool_] = np.abs(other - one) <= _TOLERANCE * float(np.abs(one).max())
    return near
