"""Boxes of images, however a file writes them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.contracts.placement import Placement
from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataTooLargeError
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.files import File, checked_splits
from worker.pipeline.data.left_out import leave_out
from worker.pipeline.data.splits import Split

PADDING = -1.0  # class of the rows after an image's last box
DIFFICULT = 2.0  # in place of is_crowd: VOC does not count such boxes, whether found or not
_NUM_VALUES = 6


@dataclass(frozen=True)
class Drawn:
    """Boxes of one image.

    Attributes:
        rows: (class, x0, y0, x1, y1, is_crowd) for each box; `DIFFICULT` instead of 1 if it does
            not count without being a crowd.
        are_shares: Whether corners are shares of the image's sides instead of pixels.
    """

    rows: NDArray[np.float32]
    are_shares: bool


def annotate(  # noqa: PLR0913, PLR0917  # what a layout has found
    images: Sequence[File],
    drawn: Sequence[Drawn],
    splits: Sequence[Split | None],
    names: Sequence[str],
    unread: Sequence[File],
    limits: LimitSettings,
    notes: Sequence[str] = (),
) -> Annotated:
    """Return images and boxes as samples and labels.

    Raises:
        DataError: The splits are incomplete.
        DataTooLargeError: There are too many labels.
    """
    most = max((len(each.rows) for each in drawn), default=0)
    num_values = len(images) * max(1, most) * _NUM_VALUES
    if num_values > limits.label_values:
        raise DataTooLargeError(
            f"{len(images)} images with up to {most} boxes take {num_values} label values, at most "
            f"{limits.label_values}"
        )
    classes = np.concatenate([each.rows[:, 0] for each in drawn]).astype(np.int64)
    counts = np.bincount(classes, minlength=len(names))

    def label(number: int, place: Placement, size: tuple[int, int]) -> NDArray[np.float32]:
        del size
        found = np.full((max(1, most), _NUM_VALUES), PADDING, np.float32)
        rows = drawn[number].rows
        corners = rows[:, 1:5].astype(np.float64)
        if drawn[number].are_shares:
            height, width = place.image_size
            corners = corners * np.array([width, height] * 2)
        found[: len(rows)] = rows
        found[: len(rows), 1:5] = place.forward(corners)
        return found

    return Annotated(
        kind="boxes",
        images=images,
        label=label,
        shape=lambda _: (max(1, most), _NUM_VALUES),
        dtype=np.dtype(np.float32),
        splits=checked_splits(splits, [image.shown for image in images]),
        class_names=tuple(names),
        counts=tuple(counts.tolist()),
        notes=tuple(notes),
        left_out=leave_out("file", "without annotations", (each.member.name for each in unread)),
    )
