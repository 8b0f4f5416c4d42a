"""Labels: which kind an array of them is, and whether it is one that can be learnt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contracts.settings import LimitSettings
from worker.engine.errors import DataError, DataTooLargeError
from worker.engine.retrain.options import LabelKind

_MAX_RANK = 2


@dataclass(frozen=True)
class Labels:
    """The labels of all samples.

    Attributes:
        kind: What they are.
        values: int64 (N,) for classes, float32 (N,) or (N, K) for numbers, float32 zeros and ones
            (N, K) for several classes a sample, None where there are none.
        class_names: One for each class, or for each column of several; empty for other kinds.
    """

    kind: LabelKind
    values: NDArray[Any] | None
    class_names: tuple[str, ...] = ()


def to_labels(
    parts: Sequence[NDArray[Any]], class_names: Sequence[str] | None, limits: LimitSettings
) -> Labels:
    """Return the labels that arrays, one after the other, hold.

    Whole numbers (N,) are classes, whole numbers or booleans (N, K) several classes a sample,
    floats (N,) or (N, K) numbers.

    Args:
        parts: Arrays of labels; their kinds must agree.
        class_names: At least one for each class; None names them by their numbers.
        limits: What labels may take; they stay in memory.

    Raises:
        DataError: They are no labels, or not of one kind.
        DataTooLargeError: They are too many, or of too many classes.
    """
    check_label_values(sum(part.size for part in parts), limits)
    kinds = {_kind(part) for part in parts}
    if len(kinds) > 1 or len({part.shape[1:] for part in parts}) > 1:
        shown = [f"{part.dtype} {part.shape}" for part in parts]
        raise DataError(f"the splits have labels of different kinds: {', '.join(shown)}")
    kind = kinds.pop()
    if kind == "numbers":
        return Labels(kind, np.concatenate([_numbers(part) for part in parts]))
    if kind == "multi_label":
        values = np.concatenate([_zeros_and_ones(part) for part in parts])
        _check_num_classes(values.shape[1], limits)
        names = () if class_names is None else _names(class_names, values.shape[1])
        return Labels(kind, values, names)
    values = np.concatenate([_classes(part, limits) for part in parts])
    return Labels(kind, values, _names(class_names, int(values.max()) + 1))


def check_label_values(num_values: int, limits: LimitSettings) -> None:
    """Raise `DataTooLargeError` where there are too many labels."""
    if num_values > limits.label_values:
        raise DataTooLargeError(f"there are {num_values} labels, at most {limits.label_values}")


def _check_num_classes(num_classes: int, limits: LimitSettings) -> None:
    if num_classes > limits.classes:
        raise DataTooLargeError(
            f"the labels tell {num_classes} classes apart, at most {limits.classes}"
        )


def _kind(y: NDArray[Any]) -> LabelKind:
    if not 1 <= y.ndim <= _MAX_RANK:
        raise DataError(f"labels have shape {y.shape}; (N,) or (N, K) is needed")
    if np.issubdtype(y.dtype, np.floating):
        return "numbers"
    if not np.issubdtype(y.dtype, np.integer) and y.dtype != np.bool_:
        raise DataError(
            f"labels have type {y.dtype}; whole numbers, floats, or zeros and ones are needed"
        )
    return "classes" if y.ndim == 1 else "multi_label"


def _classes(y: NDArray[Any], limits: LimitSettings) -> NDArray[np.int64]:
    low, high = int(y.min()), int(y.max())
    if low < 0:
        raise DataError(f"labels run from {low} to {high}; classes count from 0")
    if high >= limits.classes:
        raise DataTooLargeError(
            f"labels run from {low} to {high}; 0 to {limits.classes - 1} are accepted"
        )
    return y.astype(np.int64)


def _zeros_and_ones(y: NDArray[Any]) -> NDArray[np.float32]:
    if y.shape[1] == 0 or not ((y == 0) | (y == 1)).all():
        raise DataError(
            f"labels have shape {y.shape} and type {y.dtype}: a row may only hold zeros and ones, "
            "one for each class; for one class a sample the shape is (N,)"
        )
    return y.astype(np.float32)


def _numbers(y: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        values = y.astype(np.float32)
    if values.size == 0 or not np.isfinite(values).all():
        raise DataError(f"labels of type {y.dtype} and shape {y.shape} are not finite in 32 bits")
    return values


def _names(names: Sequence[str] | None, num_classes: int) -> tuple[str, ...]:
    if names is None:
        return tuple(str(label) for label in range(num_classes))
    if len(names) < num_classes:
        raise DataError(f"'class_names' must be at least {num_classes} strings, not {len(names)}")
    return tuple(str(name)[:200] for name in names)
