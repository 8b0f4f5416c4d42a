"""YOLO folders: ``data.yaml`` with names, ``images/…/a.jpg`` with ``labels/…/a.txt``.

A line of a label file is ``class x y width height`` in shares of the image's sides, with the centre
of the box, or ``class x y x y …`` with the corners of a polygon. With ``kpt_shape`` in
``data.yaml``, the keypoints follow the box.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.boxes import LARGEST, ROTATED, Drawn, annotate
from worker.pipeline.data.layouts.files import File, Parts, read_text, split_in_folders
from worker.pipeline.data.layouts.poses import annotate_poses
from worker.pipeline.data.layouts.yolo_yaml import Points, read_yaml

_IMAGES, _LABELS = "images", "labels"
_BOX, _LEAST_POLYGON, _ROTATED = 5, 7, 9
_UNSEEN, _SEEN = 0.0, 2.0  # visibility of keypoints, as in COCO
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
    named = [(file, about) for file in files if (about := read_yaml(archive, file, limits))]
    if not named:
        return None
    if len(named) > 1:
        raise DataError(
            f"{named[0][0].shown} and {named[1][0].shown} both name classes: keep one data.yaml"
        )
    names = named[0][1].names
    texts = {file.parts: file for file in others if file.suffix == ".txt"}
    chosen = [image for image in images if _LABELS not in image.parts[:-1]]
    found = [texts.get(_label_parts(image.parts)) for image in chosen]
    if not any(found):
        raise DataError(
            f"{named[0][0].shown} names classes, but no image has a label file: images/a.jpg needs "
            "labels/a.txt"
        )
    points = named[0][1].points
    if points is not None and len(names) > 1:
        raise DataError(
            f"{named[0][0].shown} has kpt_shape and {len(names)} classes: keep the keypoints of one"
        )
    rows = [_rows(archive, file, len(names), limits, points) for file in found]
    if points is None:
        _refuse_rotated(archive, [file for file in found if file is not None], limits)
    num_empty = sum(file is None for file in found)
    notes = (
        (f"{num_empty} of {len(chosen)} images have no label file: they have no boxes",)
        if num_empty
        else ()
    )
    splits = [split_in_folders(image.parts) for image in chosen]
    unread = [image for image in images if image not in set(chosen)]
    if points is not None:
        return annotate_poses(
            chosen,
            [_poses(each) for each in rows],
            splits,
            points.names,
            unread,
            limits,
            notes,
            are_shares=True,
            are_named=points.are_named,
        )
    drawn = [Drawn(each, are_shares=True) for each in rows]
    return annotate(chosen, drawn, splits, names, unread, limits, notes)


def _refuse_rotated(archive: Archive, files: Sequence[File], limits: LimitSettings) -> None:
    """Refuse labels that are rotated boxes: a class and four corners in every line.

    A polygon may have four corners too. All of them are parallelograms only in rotated boxes.

    Raises:
        DataError: The labels are rotated boxes.
    """
    turned: File | None = None
    for file in files:
        for line in read_text(archive, file, limits).splitlines():
            values = line.split()
            if not values:
                continue
            if len(values) != _ROTATED:
                return
            a, b, c, d = np.array(values[1:], np.float64).reshape(4, 2)
            if np.abs(a + c - b - d).max() > _SLACK:
                return
            if not (np.abs(b - a) < _SLACK).any():
                turned = turned or file
    if turned is not None:
        raise DataError(f"the lines of {turned.shown} are a class and four corners; {ROTATED}")


def _label_parts(parts: Parts) -> Parts:
    """Return the path of an image's labels: the last folder ``images`` becomes ``labels``."""
    folders = list(parts[:-1])
    places = [number for number, each in enumerate(folders) if each.casefold() == _IMAGES]
    if places:
        folders[places[-1]] = _LABELS
    return (*folders, parts[-1].rpartition(".")[0] + ".txt")


def _rows(
    archive: Archive,
    file: File | None,
    num_classes: int,
    limits: LimitSettings,
    points: Points | None,
) -> NDArray[np.float32]:
    """Return rows (class, x0, y0, x1, y1, is_crowd, then keypoints) in shares of the sides."""
    num_more = 0 if points is None else len(points.names) * points.num_values
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
        is_polygon = points is None and len(values) >= _LEAST_POLYGON and len(values) % 2 == 1
        if len(values) != _BOX + num_more and not is_polygon:
            more = f", and {num_more} of its keypoints follow" if num_more else ""
            raise DataError(
                f"{where} has {len(values)} numbers; a box has five: class, x, y, width, height"
                f"{more}"
            )
        is_class = values[0].is_integer() and 0 <= values[0] < num_classes
        if not all(abs(each) <= LARGEST for each in values[1:]):
            raise DataError(f"{where} has a number beyond {LARGEST:g}: {line[:60]!r}")
        if not is_class:
            raise DataError(
                f"{where} has class {values[0]:g}; data.yaml names {num_classes} classes, 0 to "
                f"{num_classes - 1}"
            )
        corners = _of_polygon(values[1:]) if is_polygon else _of_centre(values[1:_BOX])
        if min(corners) < -_SLACK or max(corners) > 1 + _SLACK:
            raise DataError(
                f"{where} leaves the image: {line[:60]!r}. Sides are shares from 0 to 1, not pixels"
            )
        if corners[2] > corners[0] and corners[3] > corners[1]:
            placed = () if points is None else _triples(values[_BOX:], points.num_values)
            rows.append((values[0], *corners, 0.0, *placed))
    width = 6 if points is None else 6 + 3 * len(points.names)
    return np.array(rows, np.float32).reshape(-1, width)


def _triples(values: Sequence[float], num_values: int) -> tuple[float, ...]:
    """Return x, y and visibility of each keypoint; without it, those at 0, 0 are not labelled."""
    found: list[float] = []
    for start in range(0, len(values), num_values):
        x, y = values[start : start + 2]
        is_unseen = values[start + 2] <= 0 if num_values == 3 else x <= 0 and y <= 0  # noqa: PLR2004
        found += [x, y, _UNSEEN if is_unseen else _SEEN]
    return tuple(found)


def _poses(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows as `annotate_poses` takes them: all objects count, and fill their boxes."""
    found = rows.copy()
    found[:, 0] = 0
    found[:, 5] = (rows[:, 3] - rows[:, 1]) * (rows[:, 4] - rows[:, 2])
    return found


def _of_centre(values: Sequence[float]) -> tuple[float, ...]:
    x, y, width, height = values
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _of_polygon(values: Sequence[float]) -> tuple[float, ...]:
    xs, ys = values[::2], values[1::2]
    return min(xs), min(ys), max(xs), max(ys)
