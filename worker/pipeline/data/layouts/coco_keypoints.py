"""Keypoints in COCO's files: named by their category, placed by an annotation's ``keypoints``."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secateur.engine.errors import DataError
from worker.pipeline.data.layouts.boxes import LARGEST
from worker.pipeline.data.layouts.files import File
from worker.pipeline.data.layouts.poses import BEFORE

_NUM_NUMBERS = 4
_MOST_NAME = 200
Content = Mapping[str, Any]


def keypoint_names(files: Sequence[tuple[File, Content]]) -> list[str] | None:
    """Return the names of the keypoints; None if no annotation has any.

    Raises:
        DataError: Several categories have keypoints of their own.
    """
    named: dict[object, tuple[str, ...]] = {}
    for file, content in files:
        used = {str(each.get("category_id")) for each in content["annotations"] if _points(each)}
        for each in content["categories"]:
            names = each.get("keypoints")
            if str(each.get("id")) not in used or not isinstance(names, list) or not names:
                continue
            named[each["id"]] = tuple(str(name)[:_MOST_NAME] for name in names)
            if len(named) > 1:
                raise DataError(
                    f"categories {' and '.join(map(repr, named))} in {file.shown} both have "
                    "keypoints: keep those of one category"
                )
    return list(next(iter(named.values()))) if named else None


def keypoint_rows(
    file: File, content: Content, names: Sequence[str]
) -> Mapping[Any, NDArray[np.float32]]:
    """Return rows of `poses.annotate_poses` by the image's id.

    Raises:
        DataError: Keypoints or a box are not the numbers that they must be.
    """
    width = BEFORE + 3 * len(names)
    rows: defaultdict[Any, list[list[float]]] = defaultdict(list)
    known = {entry["id"] for entry in content["images"]}
    for each in content["annotations"]:
        points, box, image = _points(each), each.get("bbox"), each.get("image_id")
        if not points and box is None:
            continue
        if not points:
            points = [0] * (3 * len(names))
        box = _bounds(points) if box is None else box
        values = _numbers(points, 3 * len(names)), _numbers(box, _NUM_NUMBERS)
        if None in values or not isinstance(image, int | str) or image not in known:
            raise DataError(
                f"annotation {each.get('id')!r} in {file.shown} needs 'keypoints' of "
                f"{3 * len(names)} numbers (x, y, visibility), a 'bbox' of four, and the id of an "
                f"image that exists; it has {str(points)[:60]}, {str(box)[:60]} and "
                f"{str(image)[:20]}"
            )
        x, y, w, h = values[1] or ()
        (area,) = _numbers([each.get("area")], 1) or (0.0,)
        area = area if area > 0 else w * h
        state = float(bool(each.get("iscrowd", 0)))
        rows[image].append([state, x, y, x + w, y + h, area, *(values[0] or ())])
    found = {image: np.array(values, np.float32) for image, values in rows.items()}
    return defaultdict(lambda: np.zeros((0, width), np.float32), found)


def _points(annotation: Content) -> Any:  # noqa: ANN401  # JSON
    return annotation.get("keypoints")


def _numbers(values: object, number: int) -> tuple[float, ...] | None:
    """Return so many finite numbers; None if the values are anything else."""
    if not isinstance(values, list) or len(values) != number:
        return None
    if not all(isinstance(each, int | float) and abs(each) <= LARGEST for each in values):
        return None
    return tuple(map(float, values))


def _bounds(points: object) -> object:
    """Return the box of the labelled keypoints, for annotations without one."""
    values = _numbers(points, len(points)) if isinstance(points, list) else None
    if values is None or len(values) % 3:
        return None
    seen = np.array(values, np.float64).reshape(-1, 3)
    seen = seen[seen[:, 2] > 0]
    if len(seen) == 0:
        return [0, 0, 0, 0]
    low, high = seen[:, :2].min(0), seen[:, :2].max(0)
    return [*low.tolist(), *(high - low).tolist()]
