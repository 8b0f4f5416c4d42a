"""COCO: JSON files with ``images``, ``annotations`` and ``categories`` beside the images.

Annotations have boxes, or keypoints as well: then those are the labels (`coco_keypoints`).

The split is that of the JSON file's name or folder (``instances_train2017.json``,
``train/_annotations.coco.json``) or of the image's folder.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.boxes import LARGEST, ROTATED, Drawn, annotate
from worker.pipeline.data.layouts.coco_keypoints import Content, keypoint_names, keypoint_rows
from worker.pipeline.data.layouts.files import (
    File,
    Finder,
    read_text,
    split_in_folders,
    split_in_name,
)
from worker.pipeline.data.layouts.poses import annotate_poses
from worker.pipeline.data.splits import Split

_KEYS = ("images", "annotations", "categories")
_NUM_NUMBERS = 4
_ROTATED_NUMBERS = frozenset({5, 8})  # a centre, two sides and an angle; or four corners
ADVICE = "COCO's format is described at https://cocodataset.org/#format-data"


@dataclass(frozen=True)
class Matched:
    """Images of COCO files that are in the archive.

    Attributes:
        images: The images.
        rows: The labels of each image.
        splits: The split of each; None if nothing names one.
        unread: The archive's other images.
        notes: Notes for the user.
    """

    images: list[File]
    rows: list[Any]
    splits: list[Split | None]
    unread: list[File]
    notes: tuple[str, ...]


def find_coco(
    images: Sequence[File], others: Sequence[File], archive: Archive, limits: LimitSettings
) -> Annotated | None:
    """Return the images, and boxes or keypoints, of COCO files; None without such a file.

    Raises:
        DataError: A file is damaged, or names images that are not there.
        DataTooLargeError: A limit is exceeded.
    """
    files = read_coco({"bbox", "keypoints"}, others, archive, limits)
    if not files:
        return None
    names, numbers = categories(files, limits)
    points = keypoint_names(files)
    if points is not None:
        given = [keypoint_rows(file, content, points) for file, content in files]
        found = match(files, given, images)
        return annotate_poses(
            found.images, found.rows, found.splits, points, found.unread, limits, found.notes
        )
    found = match(files, [_boxes(file, content, numbers) for file, content in files], images)
    drawn = [Drawn(each, are_shares=False) for each in found.rows]
    return annotate(found.images, drawn, found.splits, names, found.unread, limits, found.notes)


def match(
    files: Sequence[tuple[File, Content]],
    rows: Sequence[Mapping[Any, Any]],
    images: Sequence[File],
) -> Matched:
    """Return the images that COCO files name, with their labels.

    Args:
        files: The files and what they hold.
        rows: For each file, the labels by the image's id.
        images: The archive's images.

    Raises:
        DataError: Two files name the same image, or the archive has none of them.
    """
    finder = Finder(images)
    chosen: dict[File, tuple[Any, Split | None]] = {}
    missing: list[str] = []
    for (file, content), labels in zip(files, rows, strict=True):
        split = split_in_name(file.stem) or split_in_folders(file.parts)
        for entry in content["images"]:
            written = str(entry["file_name"])
            image = finder.find(written, file.parts[:-1])
            if image is None:
                missing.append(written)
                continue
            if image in chosen:
                raise DataError(
                    f"image {image.shown} is in two annotation files: keep one file a split"
                )
            own = split if split is not None else split_in_folders(image.parts)
            chosen[image] = (labels[entry["id"]], own)
    if not chosen:
        raise DataError(
            f"{files[0][0].shown} names images such as {missing[0][:80]!r}, but the archive "
            "has none of them: pack the images beside the JSON file"
        )
    ordered = sorted(chosen, key=lambda image: image.parts)
    return Matched(
        ordered,
        [chosen[image][0] for image in ordered],
        [chosen[image][1] for image in ordered],
        [image for image in images if image not in chosen],
        _missing_notes(missing),
    )


def read_coco(
    keys: AbstractSet[str], others: Sequence[File], archive: Archive, limits: LimitSettings
) -> list[tuple[File, Content]]:
    """Return the COCO files that have an annotation with one of the keys, and what they hold.

    Raises:
        DataError: A file is damaged.
        DataTooLargeError: A file is too large.
    """
    found: list[tuple[File, Content]] = []
    for file in others:
        if file.suffix != ".json":
            continue
        text = read_text(archive, file, limits)
        if all(f'"{key}"' in text for key in _KEYS):
            content = _parse(file, text)
            if any(keys & each.keys() for each in content["annotations"]):
                found.append((file, content))
    return found


def _missing_notes(missing: Sequence[str]) -> tuple[str, ...]:
    if not missing:
        return ()
    count, first = len(missing), missing[0][:80]
    return (f"{count} images of the annotation files are not in the archive, such as {first!r}",)


def _parse(file: File, text: str) -> dict[str, Any]:
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"annotation file {file.shown} is not JSON: {error}") from error
    is_coco = isinstance(content, dict) and all(
        isinstance(content.get(key), list) and all(isinstance(e, dict) for e in content[key])
        for key in _KEYS
    )
    if not is_coco:
        raise DataError(
            f"annotation file {file.shown} needs lists of objects 'images', 'annotations' and "
            f"'categories'. {ADVICE}"
        )
    for entry in content["images"]:
        if not isinstance(entry.get("file_name"), str) or not is_id(entry.get("id")):
            raise DataError(f"an image in {file.shown} has no 'id' or 'file_name'. {ADVICE}")
    return dict(content)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= LARGEST


def is_id(value: object) -> bool:
    """Return whether a value may be an id."""
    return isinstance(value, int | str) and not isinstance(value, bool)


def categories(
    found: Sequence[tuple[File, Content]], limits: LimitSettings
) -> tuple[list[str], dict[Any, int]]:
    """Return the names of the classes and their numbers by category: sorted by id, from 0.

    Raises:
        DataError: A category has no id, or two names.
        DataTooLargeError: There are too many.
    """
    names: dict[Any, str] = {}
    for file, content in found:
        for each in content["categories"]:
            if not isinstance(each.get("id"), int):
                raise DataError(f"a category in {file.shown} has no 'id'. {ADVICE}")
            name = str(each.get("name", each["id"]))[:200]
            if names.setdefault(each["id"], name) != name:
                raise DataError(
                    f"category {each['id']} is {names[each['id']]!r} in one annotation file and "
                    f"{name!r} in {file.shown}"
                )
    if len(names) > limits.classes:
        raise DataTooLargeError(
            f"the annotations have {len(names)} classes, at most {limits.classes}"
        )
    ids = sorted(names)
    return [names[each] for each in ids], {each: number for number, each in enumerate(ids)}


def _boxes(
    file: File, content: Mapping[str, Any], numbers: Mapping[Any, int]
) -> dict[Any, NDArray[np.float32]]:
    """Return rows (class, x0, y0, x1, y1, is_crowd) by the image's id."""
    rows: defaultdict[Any, list[tuple[float, ...]]] = defaultdict(list)
    known = {entry["id"] for entry in content["images"]}
    for each in content["annotations"]:
        box, image, category = (each.get(k) for k in ("bbox", "image_id", "category_id"))
        if box is None:
            continue
        if isinstance(box, list) and len(box) in _ROTATED_NUMBERS:
            raise DataError(
                f"annotation {each.get('id')!r} in {file.shown} has a 'bbox' of {len(box)} "
                f"numbers; {ROTATED}"
            )
        is_box = isinstance(box, list) and len(box) == _NUM_NUMBERS and all(map(_is_finite, box))
        are_ids = is_id(image) and is_id(category)
        if not is_box or not are_ids or image not in known or category not in numbers:
            raise DataError(
                f"annotation {each.get('id')!r} in {file.shown} needs a 'bbox' of four numbers and "
                f"the ids of an image and a category that exist; it has {str(box)[:60]}, "
                f"{str(image)[:20]} and {str(category)[:20]}"
            )
        x, y, width, height = map(float, box)
        if width > 0 and height > 0:
            crowd = float(bool(each.get("iscrowd", 0)))
            rows[image].append((numbers[category], x, y, x + width, y + height, crowd))
    return defaultdict(
        lambda: np.zeros((0, 6), np.float32),
        {image: np.array(found, np.float32) for image, found in rows.items()},
    )
