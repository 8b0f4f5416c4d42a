"""Outlines of objects, drawn as the mask of an image: polygons and COCO's run lengths.

Class 0 is the background. Larger objects are drawn first, so that smaller ones stay visible.
Polygons are filled by pycocotools, as in COCO's own masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from app.contracts.placement import Placement
from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.files import File, checked_splits
from worker.pipeline.data.layouts.masks import IGNORED, placed
from worker.pipeline.data.left_out import leave_out
from worker.pipeline.data.splits import Split

_LEAST_POLYGON = 6  # numbers of three corners
_OUTSIDE = 1.0  # of the image's sides, by which corners may leave it
_BITS, _MORE, _SIGN, _ZERO = 5, 32, 16, 48  # of a character of compressed run lengths
_MOST_BITS = 35


@dataclass(frozen=True)
class Outline:
    """The area of an object.

    Attributes:
        value: Its value in the mask.
        area: Polygons as lists of x, y, ...; or run lengths, as a dict of ``size`` and ``counts``.
        where: The annotation, for messages.
        are_shares: Whether polygons are shares of the image's sides instead of pixels.
    """

    value: int
    area: Any
    where: str
    are_shares: bool = False


def annotate_outlines(  # noqa: PLR0913, PLR0917  # what a layout has found
    images: Sequence[File],
    outlines: Sequence[Sequence[Outline]],
    splits: Sequence[Split | None],
    names: Sequence[str],
    unread: Sequence[File],
    limits: LimitSettings,
    notes: Sequence[str] = (),
) -> Annotated:
    """Return images and outlines as samples and masks.

    Args:
        images: The images.
        outlines: Those of each image.
        splits: Split of each image.
        names: Names of the values of masks, the background first.
        unread: Images without annotations.
        limits: Size limits.
        notes: Notes for the user.

    Raises:
        DataError: The splits are incomplete.
        DataTooLargeError: There are too many classes.
    """
    if len(names) > min(IGNORED, limits.classes):
        raise DataTooLargeError(
            f"the annotations have {len(names)} classes with the background, at most "
            f"{min(IGNORED, limits.classes)}: masks have bytes"
        )

    def label(number: int, place: Placement, size: tuple[int, int]) -> NDArray[np.uint8]:
        return placed(draw(outlines[number], place.image_size, limits.label_values), place, size)

    return Annotated(
        kind="masks",
        images=images,
        label=label,
        shape=lambda size: size,
        dtype=np.dtype(np.uint8),
        splits=checked_splits(splits, [image.shown for image in images]),
        class_names=tuple(names),
        notes=(*notes, "outlines are drawn as masks: class 0 is the background"),
        left_out=leave_out("file", "without annotations", (each.member.name for each in unread)),
    )


def draw(outlines: Sequence[Outline], size: tuple[int, int], most_runs: int) -> NDArray[np.uint8]:
    """Return the mask (H, W) of an image of ``size``.

    Args:
        outlines: The objects.
        size: Height and width.
        most_runs: Limit of run lengths in the image, which are held in memory.

    Raises:
        DataError: An outline is damaged, or of another size.
        DataTooLargeError: There are too many run lengths.
    """
    areas: list[tuple[int, list[int]]] = []
    num_runs = 0
    for each in outlines:
        areas.append((each.value, _runs(each, size)))
        num_runs += len(areas[-1][1])
        if num_runs > most_runs:
            raise DataTooLargeError(
                f"{each.where} is one of {len(outlines)} outlines in an image of "
                f"{size[1]}x{size[0]} pixels: they take more than {most_runs} run lengths"
            )
    # Pixels that do not count come first: an object inside a crowd counts.
    areas.sort(key=lambda pair: (pair[0] != IGNORED, -sum(pair[1][1::2])))
    columns = np.zeros(size[0] * size[1], np.uint8)
    for value, runs in areas:
        columns[np.repeat(np.arange(len(runs)) % 2 == 1, runs)] = value
    return columns.reshape(size[1], size[0]).T


def _runs(outline: Outline, size: tuple[int, int]) -> list[int]:
    """Return run lengths of an image (H, W): column by column, the first outside of the object."""
    area = outline.area
    if isinstance(area, dict):
        return _checked(area, size, outline.where)
    if not isinstance(area, list) or not area:
        raise DataError(
            f"{outline.where} has the segmentation {str(area)[:60]}; it is a list of polygons, or "
            "run lengths with 'size' and 'counts'"
        )
    polygons = [_polygon(each, outline, size) for each in area]
    whole = coco_mask.merge(coco_mask.frPyObjects(polygons, *size))
    return _uncompressed(whole["counts"].decode(), outline.where)


def _polygon(values: object, outline: Outline, size: tuple[int, int]) -> list[float]:
    numbers = values if isinstance(values, list) else []
    are_corners = len(numbers) >= _LEAST_POLYGON and len(numbers) % 2 == 0
    are_numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers)
    if not are_corners or not are_numbers:
        raise DataError(
            f"{outline.where} has the polygon {str(values)[:60]}; a polygon has x and y of at "
            "least three corners, in one list"
        )
    sides = np.array([size[1], size[0]], np.float64)
    try:
        corners = np.array(numbers, np.float64).reshape(-1, 2)
    except OverflowError:  # whole numbers in JSON may be too large for a float
        corners = np.full((1, 2), np.inf)
    if outline.are_shares:
        corners = corners * sides
    # Filling takes memory by the length of the outline.
    if not ((corners >= -_OUTSIDE * sides) & (corners <= (1 + _OUTSIDE) * sides)).all():
        raise DataError(
            f"{outline.where} has a polygon that leaves the image of {size[1]}x{size[0]} pixels: "
            f"{str(values)[:60]}"
        )
    return [float(each) for each in corners.reshape(-1)]


def _checked(runs: dict[str, Any], size: tuple[int, int], where: str) -> list[int]:
    if runs.get("size") != list(size):
        raise DataError(
            f"{where} has run lengths of the size {str(runs.get('size'))[:40]}; its image has "
            f"{list(size)}, height and width"
        )
    counts: Any = runs.get("counts")
    lengths = _uncompressed(counts, where) if isinstance(counts, str) else counts
    num_pixels = size[0] * size[1]
    are_lengths = isinstance(lengths, list) and all(
        isinstance(each, int) and not isinstance(each, bool) and 0 <= each <= num_pixels
        for each in lengths
    )
    if not are_lengths or sum(lengths) != num_pixels:
        raise DataError(
            f"{where} has the run lengths {str(counts)[:40]}; they must add up to the {num_pixels} "
            "pixels of its image"
        )
    found: list[int] = lengths
    return found


def _uncompressed(text: str, where: str) -> list[int]:
    """Return the run lengths of COCO's compressed text.

    Every character has five bits of a number and one that says whether more follow. From the fourth
    on, a number is the difference from the one two before. pycocotools' decoder in C trusts them.
    """
    found: list[int] = []
    value = shift = 0
    for each in text:
        bits = ord(each) - _ZERO
        if not 0 <= bits < 2 * _MORE or shift > _MOST_BITS:
            raise DataError(f"{where} has damaged run lengths: {text[:40]!r}")
        value |= (bits & (_MORE - 1)) << shift
        shift += _BITS
        if bits & _MORE:
            continue
        if bits & _SIGN:
            value -= 1 << shift
        found.append(value + found[-2] if len(found) > 2 else value)  # noqa: PLR2004
        value = shift = 0
    if shift:
        raise DataError(f"{where} has run lengths that end too early: {text[:40]!r}")
    return found
