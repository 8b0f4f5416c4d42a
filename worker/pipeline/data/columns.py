"""Label and split columns of a Parquet file, collected a few rows at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.labels import Labels, check_label_values, to_integers, to_labels
from worker.pipeline.data.splits import Split, split_named

_MAX_NAME = 200


class LabelColumn:
    """Label column of numbers, strings, or lists of numbers of equal length.

    Args:
        name: Name of the column.
        type_: Arrow type.
        class_names: Names of integer classes, if the file gives them.
        limits: Size limits for labels.

    Raises:
        DataError: The type cannot hold labels.
    """

    def __init__(
        self,
        name: str,
        type_: Any,  # noqa: ANN401  # pyarrow has no types
        class_names: Sequence[str] | None,
        limits: LimitSettings,
    ) -> None:
        self._name = name
        self._is_text = _is_text(type_)
        self._is_list = _is_list(type_)
        if not (self._is_text or self._is_list or _is_number(type_)):
            raise DataError(
                f"column {name!r} has type {str(type_)[:80]}; labels are numbers, strings or "
                "lists of numbers"
            )
        self._class_names = class_names
        self._numbers: dict[str, int] = {}  # class name to number, in order of appearance
        self._parts: list[NDArray[Any]] = []
        self._num_values = 0
        self._limits = limits

    def add(self, column: Any) -> None:  # noqa: ANN401  # likewise
        """Add the labels of the next rows.

        Raises:
            DataError: A label is missing, or its length differs from the others.
            DataTooLargeError: A label is too long, or there are too many.
        """
        if column.null_count > 0:
            raise DataError(f"column {self._name!r} does not have a value in every row")
        if self._is_text:
            part = np.array([self._number(text) for text in column.to_pylist()], np.int64)
        elif self._is_list:
            part = self._matrix(column)
        else:
            part = column.to_numpy(zero_copy_only=False)
        self._num_values += part.size
        check_label_values(self._num_values, self._limits)
        self._parts.append(part)

    def finish(self) -> Labels:
        """Return all labels; string classes are numbered in alphabetical order."""
        parts = [np.concatenate(self._parts)]
        if not self._is_text:
            return to_labels(parts, self._class_names, self._limits)
        names = sorted(self._numbers)
        numbers = to_integers(names)
        if numbers is not None:
            by_position = np.array([int(name) for name in self._numbers])
            return to_labels([by_position[parts[0]]], self._class_names, self._limits)
        new = np.empty(len(names), np.int64)
        for number, name in enumerate(names):
            new[self._numbers[name]] = number
        return to_labels([new[parts[0]]], names, self._limits)

    def _number(self, text: str) -> int:
        if len(text) > _MAX_NAME:
            raise DataTooLargeError(
                f"column {self._name!r} has a class name of {len(text)} characters, at most "
                f"{_MAX_NAME}"
            )
        number = self._numbers.setdefault(text, len(self._numbers))
        if number >= self._limits.classes:
            raise DataTooLargeError(
                f"column {self._name!r} has more than {self._limits.classes} class names"
            )
        return number

    def _matrix(self, column: Any) -> NDArray[Any]:  # noqa: ANN401  # likewise
        lengths = set(pc.list_value_length(column).to_pylist())
        lengths |= {self._parts[0].shape[1]} if self._parts else set()
        values = column.flatten()
        if len(lengths) != 1 or values.null_count > 0:
            raise DataError(f"column {self._name!r} has lists of different lengths: {lengths}")
        matrix: NDArray[Any] = values.to_numpy(zero_copy_only=False)
        return matrix.reshape(len(column), lengths.pop())


class SplitColumn:
    """Column of strings that assign each sample to a split."""

    def __init__(self) -> None:
        self._splits = bytearray()

    def add(self, column: Any) -> None:  # noqa: ANN401  # likewise
        """Add the splits of the next rows.

        Raises:
            DataError: A value is not the name of a split.
        """
        for name in column.to_pylist():
            split = split_named(name) if isinstance(name, str) else None
            if split is None:
                raise DataError(
                    f"column 'split' holds {str(name)[:40]!r}; every row needs 'train', "
                    "'validation' or 'test'"
                )
            self._splits.append(split)

    def finish(self) -> NDArray[np.uint8]:
        """Return the split of every sample (N,).

        Raises:
            DataError: No sample is for training.
        """
        split = np.frombuffer(bytes(self._splits), np.uint8)
        if not (split == Split.TRAIN).any():
            raise DataError("column 'split' marks no sample for training")
        return split


def _is_text(type_: Any) -> bool:  # noqa: ANN401  # likewise
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _is_list(type_: Any) -> bool:  # noqa: ANN401  # likewise
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(type_) for is_kind in kinds) and _is_number(type_.value_type)


def _is_number(type_: Any) -> bool:  # noqa: ANN401  # likewise
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return any(is_kind(type_) for is_kind in kinds)
