"""YOLO folders: ``data.yaml`` with names, ``images/…/a.jpg`` with ``labels/…/a.txt``.

A line of a label file is ``class x y width height`` in shares of the image's sides, with the centre
of the box, or ``class x y x y …`` with the corners of a polygon.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.boxes import Drawn, annotate
from worker.pipeline.data.layouts.files import File, Parts, read_text, split_in_folders

_MOST_YAML = 2**20  # bytes
_IMAGES, _LABELS = "images", "labels"
_BOX, _LEAST_POLYGON = 5, 7
_SLACK = 0.01  # rounding may put a side slightly outside the image


def find_yolo(
    images: Sequence[File], others: Sequence[File], archive: Archive, limits: LimitSettings
) -> Annotated | None:
    """Return the images and boxes of YOLO folders; None if the archive has no ``data.yaml``.

    Images without a label file have no box, as in training.

    Raises:
        DataError: A file is damaged, or there are no label files.
        DataTooLargeError: A limit is exceeded.
    """
    files = [file for file in others if file.suffix in {".yaml", ".yml"}]
    named = [(file, names) for file in files if (names := _names(archive, file, limits))]
    if not named:
        return None
    if len(named) > 1:
        raise DataError(
            f"{named[0][0].shown} and {named[1][0].shown} both name classes: keep one data.yaml"
        )
    names = named[0][1]
    texts = {file.parts: file for file in others if file.suffix == ".txt"}
    chosen = [image for image in images if _LABELS not in image.parts[:-1]]
    found = [texts.get(_label_parts(image.parts)) for image in chosen]
    if not any(found):
        raise DataError(
            f"{named[0][0].shown} names classes, but no image has a label file: images/a.jpg needs "
            "labels/a.txt"
        )
    drawn = [Drawn(_rows(archive, file, len(names), limits), are_shares=True) for file in found]
    num_empty = sum(file is None for file in found)
    notes = (
        (f"{num_empty} of {len(chosen)} images have no label file: they have no boxes",)
        if num_empty
        else ()
    )
    splits = [split_in_folders(image.parts) for image in chosen]
    unread = [image for image in images if image not in set(chosen)]
    return annotate(chosen, drawn, splits, names, unread, limits, notes)


def _names(archive: Archive, file: File, limits: LimitSettings) -> list[str] | None:
    """Return the names of the classes in a YAML file; None if it has none."""
    if file.member.num_bytes > _MOST_YAML:
        return None
    text = read_text(archive, file, limits)
    if "names" not in text:
        return None
    try:
        content: Any = _load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{file.shown} is not YAML: {str(error)[:200]}") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise DataError(f"'names' in {file.shown} must have the keys 0 to {len(names) - 1}")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        return None
    if len(names) > limits.classes:
        raise DataTooLargeError(
            f"{file.shown} names {len(names)} classes, at most {limits.classes}"
        )
    return [str(name)[:200] for name in names]


def _load(text: str) -> Any:  # noqa: ANN401  # YAML
    """Parse YAML without aliases, which may stand for more text than there is memory."""
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AliasToken):
            raise ValueError("aliases are not accepted")  # noqa: TRY004  # a value, not a type
    return yaml.safe_load(text)


def _label_parts(parts: Parts) -> Parts:
    """Return the path of an image's labels: the last folder ``images`` becomes ``labels``."""
    folders = list(parts[:-1])
    places = [number for number, each in enumerate(folders) if each.casefold() == _IMAGES]
    if places:
        folders[places[-1]] = _LABELS
    return (*folders, parts[-1].rpartition(".")[0] + ".txt")


def _rows(
    archive: Archive, file: File | None, num_classes: int, limits: LimitSettings
) -> NDArray[np.float32]:
    """Return rows (class, x0, y0, x1, y1, is_crowd) in shares of the sides."""
    rows: list[tuple[float, ...]] = []
    lines = [] if file is None else read_text(archive, file, limits).splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        assert file is not None  # noqa: S101  # it has a line
        where = f"line {number} of {file.shown}"
        try:
            values = [float(each) for each in line.split()]
        except ValueError as error:
            raise DataError(f"{where} is not numbers: {line[:60]!r}") from error
        is_polygon = len(values) >= _LEAST_POLYGON and len(values) % 2 == 1
        if len(values) != _BOX and not is_polygon:
            raise DataError(
                f"{where} has {len(values)} numbers; a box has five: class, x, y, width, height"
            )
        is_class = values[0].is_integer() and 0 <= values[0] < num_classes
        if not all(map(math.isfinite, values)) or not is_class:
            raise DataError(
                f"{where} has class {values[0]:g}; data.yaml names {num_classes} classes, 0 to "
                f"{num_classes - 1}"
            )
        corners = _of_polygon(values[1:]) if is_polygon else _of_centre(values[1:])
        if min(corners) < -_SLACK or max(corners) > 1 + _SLACK:
            raise DataError(
                f"{where} leaves the image: {line[:60]!r}. Sides are shares from 0 to 1, not pixels"
            )
        if corners[2] > corners[0] and corners[3] > corners[1]:
            rows.append((values[0], *corners, 0.0))
    return np.array(rows, np.float32).reshape(-1, 6)


def _of_centre(values: Sequence[float]) -> tuple[float, ...]:
    x, y, width, height = values
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _of_polygon(values: Sequence[float]) -> tuple[float, ...]:
    xs, ys = values[::2], values[1::2]
    return min(xs), min(ys), max(xs), max(ys)
