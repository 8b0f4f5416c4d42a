"""Boxes in a column of a Parquet file, as Hugging Face's data sets of detectors have them.

A row has a struct of lists (``{"bbox": [[…], …], "category": [0, …]}``) or a list of structs. A
``bbox`` is left, top, width and height in pixels, as in COCO.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from app.contracts.placement import Placement
from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.labels import Labels
from worker.pipeline.data.layouts.boxes import LARGEST, ROTATED, Drawn, box_labels
from worker.pipeline.data.rows import RowFile, Rows

NAMES = ("objects", "annotations", "boxes", "faces")
_CATEGORIES = ("category", "categories", "label", "labels", "category_id", "class")
_BOXES = ("bbox", "bboxes", "box")
_CROWDS = ("iscrowd", "is_crowd")
_NUM_SIDES = 4


def has_boxes(type_: Any) -> bool:  # noqa: ANN401  # pyarrow has no types
    """Return whether an Arrow type is a struct of lists, or a list of structs, with boxes."""
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        type_ = type_.value_type
    return bool(pa.types.is_struct(type_)) and any(type_.get_field_index(k) >= 0 for k in _BOXES)


class ObjectColumn:
    """Boxes of the rows, collected a few rows at a time.

    Args:
        name: Name of the column.
        class_names: Names of the classes, if the file gives them.
        limits: Size limits for labels.
    """

    def __init__(self, name: str, class_names: Sequence[str] | None, limits: LimitSettings) -> None:
        self._name, self._class_names, self._limits = name, class_names, limits
        self._drawn: list[Drawn] = []
        self._places: list[tuple[Placement, tuple[int, int]]] = []

    def add(self, column: Any) -> None:  # noqa: ANN401  # pyarrow has no types
        """Add the boxes of the next rows.

        Raises:
            DataError: A row has no boxes of four numbers, each with a class.
        """
        for value in column.to_pylist():
            rows = self._rows(value, f"column {self._name!r} of row {len(self._drawn)}")
            self._drawn.append(Drawn(rows, are_shares=False))

    def place(self, number: int, place: Placement, size: tuple[int, int]) -> None:
        """Add where the next image is in the network's input."""
        del number
        self._places.append((place, size))

    def finish(self, path: Path) -> Labels:
        """Write all labels, and return them.

        Raises:
            DataTooLargeError: There are too many labels or classes.
        """
        highest = max((int(each.rows[:, 0].max(initial=-1)) for each in self._drawn), default=-1)
        num_classes = max(len(self._class_names or ()), highest + 1)
        if num_classes > self._limits.classes:  # before names are made for them
            raise DataTooLargeError(
                f"column {self._name!r} has {num_classes} classes, at most {self._limits.classes}"
            )
        names = tuple(self._class_names or map(str, range(highest + 1)))
        if highest >= len(names):
            raise DataError(
                f"column {self._name!r} has class {highest}; the file names {len(names)} classes, "
                f"0 to {len(names) - 1}"
            )
        labels = box_labels(self._drawn, len(names), self._limits)
        with path.open("wb") as out:
            for number, (place, size) in enumerate(self._places):
                out.write(np.ascontiguousarray(labels.label(number, place, size)).data)
        rows = Rows([RowFile(path, 0, len(self._places), labels.shape, np.dtype(np.float32))])
        is_named = self._class_names is not None
        return Labels("boxes", None, names, len(names), is_named, rows=rows, counts=labels.counts)

    def _rows(self, value: object, where: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return rows (class, x0, y0, x1, y1, is_crowd) of one image."""
        boxes, classes, crowds = _lists(value)
        if len(classes) != len(boxes) or len(crowds) not in {0, len(boxes)}:
            raise DataError(f"{where} has {len(boxes)} boxes and {len(classes)} categories")
        found = []
        for number, (box, category) in enumerate(zip(boxes, classes, strict=True)):
            is_list = isinstance(box, list) and all(isinstance(e, int | float) for e in box)
            if is_list and len(box) != _NUM_SIDES:
                raise DataError(f"{where} has a box of {len(box)} numbers; {ROTATED}")
            is_class = isinstance(category, int) and category >= 0
            if not is_list or not is_class or not all(abs(each) <= LARGEST for each in box):
                raise DataError(
                    f"{where} has the box {str(box)[:60]} of class {str(category)[:20]}; it needs "
                    "left, top, width and height in pixels, and the number of a class"
                )
            x, y, width, height = box
            if width > 0 and height > 0:
                crowd = float(bool(crowds[number])) if crowds else 0.0
                found.append((category, x, y, x + width, y + height, crowd))
        return np.array(found, np.float32).reshape(-1, 6)


def _lists(value: object) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the boxes, categories and crowds of a row."""
    if isinstance(value, list):  # of structs
        objects = [each if isinstance(each, dict) else {} for each in value]
        crowds = [_of(each, _CROWDS) for each in objects]
        return (
            [_of(each, _BOXES) for each in objects],
            [_of(each, _CATEGORIES) for each in objects],
            [] if None in crowds else crowds,
        )
    found = value if isinstance(value, dict) else {}
    return _of(found, _BOXES) or [], _of(found, _CATEGORIES) or [], _of(found, _CROWDS) or []


def _of(value: Mapping[str, Any], names: Sequence[str]) -> Any:  # noqa: ANN401  # a row's value
    return next((value[name] for name in names if value.get(name) is not None), None)
