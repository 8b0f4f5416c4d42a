"""Notes on unusual label values: values that mean "ignore", classes that start at 1."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FAR = 10  # unused classes below the largest label before it counts as an outlier
_TOLERANCE = 1e-3


def negative_message(y: NDArray[Any]) -> str:
    """Return the end of the message "labels run from … to …" if some are negative."""
    values, counts = np.unique(y, return_counts=True)
    negative = values < 0
    if values.tolist() == [-1, 1]:
        return "; classes count from 0: write 0 for -1, or leave out samples without a label"
    if negative.sum() == 1:
        return (
            f"; {int(values[0])}, in {int(counts[0])} of {len(y)} samples, often means 'no label': "
            "leave these samples out, as classes count from 0"
        )
    return "; classes count from 0"


def class_notes(y: NDArray[Any]) -> Iterator[str]:
    """Yield notes on non-negative class numbers (N,)."""
    values, counts = np.unique(y, return_counts=True)
    if int(values[0]) == 1:
        yield "the labels start at 1, but classes count from 0: class 0 has no sample"
    if len(values) > 1:
        high, second = int(values[-1]), int(values[-2])
        if high - second > max(_FAR, second):
            yield (
                f"the label {high}, in {int(counts[-1])} of {len(y)} samples, is far from the "
                f"others, which go up to {second}: if it means 'ignore', leave these samples out"
            )


def number_notes(values: NDArray[np.float32]) -> tuple[str, ...]:
    """Return notes on numeric labels (N,)."""
    if np.unique(values[:1000]).tolist() != [-1, 1] or not (abs(values) == 1).all():
        return ()
    return ("the labels are -1 and 1 and are read as numbers; for two classes use 0 and 1",)


def number_row_notes(values: NDArray[np.float32]) -> tuple[str, ...]:
    """Return notes on rows of numeric labels (N, K)."""
    are_shares = bool((values >= 0).all()) and bool((abs(values.sum(1) - 1) < _TOLERANCE).all())
    if not are_shares:
        return ()
    note = (
        "every row of the labels sums to 1, as probabilities do; they are read as regression "
        "targets. For classes, give the number of the class"
    )
    return (note,)
