"""Labels: kind of an array of labels, decided by its values where its type leaves it open.

If two readings are possible, the likelier one is chosen and noted; `worker.pipeline.job.fit`
switches to the other one if the network needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from secateur.engine.objectives import LabelKind
from worker.pipeline.data.label_notes import (
    class_notes,
    negative_message,
    number_notes,
    number_row_notes,
)
from worker.pipeline.data.rows import Rows

_MAX_RANK = 2
_MAX_NAME = 200
_MAX_FLOAT_CLASSES = 1000  # floats below this may be classes; larger ones are measurements
_FLOATS = "they are classes if the network has that many outputs, and numbers if it has one"

Family = Literal["whole", "float", "text"]


@dataclass(frozen=True)
class Labels:
    """The labels of all samples.

    Attributes:
        kind: Kind of labels.
        values: int64 (N,) for classes and identities, float32 (N,) or (N, K) for numbers, float32
            zeros and ones (N, K) for multi-label data, None without labels.
        class_names: One name per class, or per multi-label column; empty for other kinds.
        num_classes: Number of classes; 0 for other kinds.
        is_named: True if the file names the classes.
        is_one_hot: True if the file stores classes as one-hot rows.
        notes: Notes for the user, as sentences.
        rows: Labels on disk instead of ``values``: uint8 masks (N, H, W), characters (N, L), or
            boxes (N, M, 6).
        counts: Number of boxes of each class, or of masks that show it.
    """

    kind: LabelKind
    values: NDArray[Any] | None
    class_names: tuple[str, ...] = ()
    num_classes: int = 0
    is_named: bool = False
    is_one_hot: bool = False
    notes: tuple[str, ...] = ()
    rows: Rows | None = None
    counts: tuple[int, ...] = ()


def to_labels(
    parts: Sequence[NDArray[Any]], class_names: Sequence[str] | None, limits: LimitSettings
) -> Labels:
    """Return the labels in a sequence of arrays, concatenated.

    Integers, booleans and strings (N,) or (N, 1) are classes, and so are one-hot rows. Other rows
    of zeros and ones are multi-label data. Floats are classes if they are small whole numbers,
    otherwise numbers.

    Args:
        parts: Arrays of labels; their kinds must agree.
        class_names: At least one per class; None names classes by their numbers.
        limits: Size limits; labels stay in memory.

    Raises:
        DataError: The arrays are not labels, or not all of one kind.
        DataTooLargeError: There are too many labels or classes.
    """
    check_label_values(sum(part.size for part in parts), limits)
    families = {_family(part) for part in parts}
    if len(families) > 1 or len({part.shape[1:] for part in parts}) > 1:
        found = [f"{part.dtype} {part.shape}" for part in parts]
        raise DataError(f"the splits have labels of different kinds: {', '.join(found)}")
    family = families.pop()
    y: NDArray[Any] = np.concatenate(parts)
    if y.ndim == _MAX_RANK and y.shape[1] == 1:
        y = y[:, 0]
    if family == "text":
        return _text(y, class_names, limits)
    if y.ndim == _MAX_RANK:
        return _rows(y, class_names, limits)
    if family == "whole":
        return _classes(y, class_names, limits)
    if _are_classes(y):
        note = f"the labels are whole numbers, stored as {y.dtype}: {_FLOATS}"
        return _classes(y.astype(np.int64), class_names, limits, note)
    numbers = _numbers(y)
    return Labels("numbers", numbers, notes=number_notes(numbers))


def check_label_values(num_values: int, limits: LimitSettings) -> None:
    """Raise `DataTooLargeError` if there are too many labels."""
    if num_values > limits.label_values:
        raise DataTooLargeError(f"there are {num_values} labels, at most {limits.label_values}")


def to_integers(names: Sequence[str]) -> list[int] | None:
    """Return names as integers if all of them are decimal numbers; ``007`` counts as a name."""
    if not all(n.isascii() and n.isdecimal() and (n == "0" or n[0] != "0") for n in names):
        return None
    return [int(name) for name in names] if max(map(len, names), default=0) <= 9 else None  # noqa: PLR2004


def _family(y: NDArray[Any]) -> Family:
    if not 1 <= y.ndim <= _MAX_RANK:
        raise DataError(f"labels have shape {y.shape}; it must be (N,) or (N, K)")
    if np.issubdtype(y.dtype, np.floating):
        return "float"
    if np.issubdtype(y.dtype, np.integer) or y.dtype == np.bool_:
        return "whole"
    if y.dtype.kind in "US":
        return "text"
    raise DataError(
        f"labels have type {y.dtype}; it must be an integer, float, string or boolean type"
    )


def _are_classes(y: NDArray[Any]) -> bool:
    """Return whether floats (N,) look like class numbers."""
    is_whole = bool(np.isfinite(y).all()) and bool((y == np.floor(y)).all())
    return is_whole and y.size > 0 and 0 <= y.min() <= y.max() < _MAX_FLOAT_CLASSES


def _text(y: NDArray[Any], class_names: Sequence[str] | None, limits: LimitSettings) -> Labels:
    if y.ndim != 1:
        raise DataError(f"labels are strings of shape {y.shape}; it must be (N,)")
    unique, values = np.unique(y, return_inverse=True)
    _check_num_classes(len(unique), limits)
    try:
        names = [_name(value) for value in unique]
    except (SystemError, ValueError) as error:  # code points beyond Unicode, or a lone surrogate
        raise DataError("the labels hold strings that are not valid Unicode") from error
    numbers = to_integers(names)
    if numbers is not None:
        return _classes(np.array(numbers)[values], class_names, limits)
    if class_names is not None and set(names) <= set(class_names):
        order = {name: number for number, name in enumerate(class_names)}
        return _classes(np.array([order[n] for n in names])[values], class_names, limits)
    return _classes(values.astype(np.int64), names, limits)


def _name(value: str | bytes) -> str:
    name = value.decode() if isinstance(value, bytes) else str(value)
    name.encode()
    if len(name) > _MAX_NAME:
        raise DataTooLargeError(
            f"a label has a name of {len(name)} characters, at most {_MAX_NAME}"
        )
    return name


def _rows(y: NDArray[Any], class_names: Sequence[str] | None, limits: LimitSettings) -> Labels:
    """Return labels (N, K) with K other than 1."""
    num_columns = y.shape[1]
    if num_columns == 0 or not ((y == 0) | (y == 1)).all():
        if np.issubdtype(y.dtype, np.floating):
            values = _numbers(y)
            return Labels("numbers", values, notes=number_row_notes(values))
        raise DataError(
            f"labels have shape {y.shape} and type {y.dtype}: integer rows may only hold zeros and "
            "ones, one per class; for one class per sample use shape (N,)"
        )
    _check_num_classes(num_columns, limits)
    names = None if class_names is None else _names(class_names, num_columns)
    if (y.sum(1) == 1).all():
        note = (
            "every row of the labels is one-hot: they are read as one class per sample, or as "
            "multi-label data if the network ends in a sigmoid per class or the objective is 'bce'"
        )
        named = _names(class_names, num_columns)
        values = y.argmax(1).astype(np.int64)
        is_named = names is not None
        return Labels(
            "classes", values, named, num_columns, is_named, is_one_hot=True, notes=(note,)
        )
    return Labels("multi_label", y.astype(np.float32), names or ())


def _classes(
    y: NDArray[Any], class_names: Sequence[str] | None, limits: LimitSettings, *notes: str
) -> Labels:
    low, high = int(y.min()), int(y.max())
    if low < 0:
        raise DataError(f"labels run from {low} to {high}{negative_message(y)}")
    if high >= limits.classes:
        raise DataTooLargeError(
            f"labels run from {low} to {high}; 0 to {limits.classes - 1} are accepted"
        )
    is_named = class_names is not None
    found = notes if is_named else (*notes, *class_notes(y))
    names = _names(class_names, high + 1)
    return Labels("classes", y.astype(np.int64), names, high + 1, is_named, notes=found)


def _check_num_classes(num_classes: int, limits: LimitSettings) -> None:
    if num_classes > limits.classes:
        raise DataTooLargeError(f"the labels have {num_classes} classes, at most {limits.classes}")


def _numbers(y: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        values = y.astype(np.float32)
    is_finite = np.isfinite(values).reshape(len(values), -1).all(1)
    if values.size == 0 or not is_finite.all():
        wrong = np.flatnonzero(~is_finite)
        which = f": sample {wrong[0]} has {y[wrong[0]]}, {len(wrong)} in all" if len(wrong) else ""
        raise DataError(
            f"labels of type {y.dtype} and shape {y.shape} are not finite in float32{which}"
        )
    return values


def _names(names: Sequence[str] | None, num_classes: int) -> tuple[str, ...]:
    if names is None:
        return tuple(str(label) for label in range(num_classes))
    if len(names) < num_classes:
        raise DataError(f"'class_names' needs at least {num_classes} names, not {len(names)}")
    return tuple(str(name)[:_MAX_NAME] for name in names)
