"""PaddleOCR's labels of text detectors: ``image<TAB>[{"transcription": …, "points": …}]`` a line.

Points are the corners of a line of text. Its box is upright, as those of `dbnet` heads are. Text
that nobody could read (``###``) does not count, whether it is found or not.
"""

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.boxes import DIFFICULT, Drawn, annotate
from worker.pipeline.data.layouts.files import (
    File,
    Finder,
    read_text,
    split_in_folders,
    split_in_name,
)
from worker.pipeline.data.splits import Split

_UNREADABLE = frozenset({"###", "*"})
_LARGEST = 1e6  # of a coordinate in pixels
_LEAST_CORNERS = 3
_NUM_TRIED = 20


def find_text_areas(
    images: Sequence[File], others: Sequence[File], archive: Archive, limits: LimitSettings
) -> Annotated | None:
    """Return the images and boxes of PaddleOCR's label files; None without such a file.

    Raises:
        DataError: A line is damaged, or names no image.
        DataTooLargeError: A limit is exceeded.
    """
    texts = [(f, read_text(archive, f, limits)) for f in others if f.suffix == ".txt"]
    texts = [(file, text) for file, text in texts if _is_ours(text)]
    if not texts:
        return None
    finder = Finder(images)
    found: dict[File, tuple[Drawn, Split | None]] = {}
    for file, text in texts:
        split = split_in_name(file.stem)
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            where = f"line {number} of {file.shown}"
            path, _, written = line.partition("\t")
            image = finder.find(path, file.parts[:-1])
            if image is None:
                raise DataError(
                    f"{where} names the image {path[:80]!r}, which the archive does not have"
                )
            if image in found:
                raise DataError(f"{where} names the image {image.shown} for the second time")
            own = split if split is not None else split_in_folders(image.parts)
            found[image] = _drawn(written, where), own
    chosen = sorted(found, key=lambda image: image.parts)
    return annotate(
        chosen,
        [found[image][0] for image in chosen],
        [found[image][1] for image in chosen],
        ("text",),
        [image for image in images if image not in found],
        limits,
        ("the boxes are upright, around the corners of each line of text",),
    )


def _is_ours(text: str) -> bool:
    lines = (line.partition("\t")[2] for line in text.split("\n"))
    return any(
        '"points"' in line and line.lstrip()[:1] == "[" for line in islice(lines, _NUM_TRIED)
    )


def _drawn(written: str, where: str) -> Drawn:
    try:
        content: Any = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON after the tab: {error}") from error
    if not isinstance(content, list):
        raise DataError(f"{where} needs a list of objects after the tab, not {written[:40]!r}")
    rows = [_row(each, where) for each in content]
    return Drawn(np.array(rows, np.float32).reshape(-1, 6), are_shares=False)


def _row(area: object, where: str) -> tuple[float, ...]:
    points = area.get("points") if isinstance(area, dict) else None
    is_polygon = isinstance(points, list) and len(points) >= _LEAST_CORNERS
    if not is_polygon or not all(map(_is_point, points or [])):
        raise DataError(
            f"{where} needs 'points' of at least three corners, x and y in pixels; it has "
            f"{str(points)[:60]}"
        )
    corners = np.array(points, np.float64)
    says = area.get("transcription") if isinstance(area, dict) else None
    state = DIFFICULT if says in _UNREADABLE else 0.0
    return (0.0, *corners.min(0).tolist(), *corners.max(0).tolist(), state)


def _is_point(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004  # x and y
        and all(isinstance(each, int | float) and abs(each) <= _LARGEST for each in value)
    )
