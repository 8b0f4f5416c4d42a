"""Boxes of images, however a file writes them."""

from collections.abc import Callable, Sequence
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

LARGEST = 1e9  # of a coordinate; larger ones are infinite as float32, or no float at all
PADDING = -1.0  # class of the rows after an image's last box
DIFFICULT = 2.0  # in place of is_crowd: VOC does not count such boxes, whether found or not
ROTATED = (
    "rotated boxes are not supported: write upright boxes around them, or leave out the labels to "
    "train and judge by the dense network's outputs"
)
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


@dataclass(frozen=True)
class BoxLabels:
    """Boxes as labels of samples.

    Attributes:
        label: Returns the rows (M, 6) of an image by its number, for its place in the input.
        shape: (M, 6).
        counts: Number of boxes of each class.
    """

    label: Callable[[int, Placement, tuple[int, int]], NDArray[np.float32]]
    shape: tuple[int, int]
    counts: tuple[int, ...]


def box_labels(drawn: Sequence[Drawn], num_classes: int, limits: LimitSettings) -> BoxLabels:
    """Return the labels of images with boxes.

    Raises:
        DataTooLargeError: There are too many labels.
    """
    most = max((len(each.rows) for each in drawn), default=0)
    num_values = len(drawn) * max(1, most) * _NUM_VALUES
    if num_values > limits.label_values:
        raise DataTooLargeError(
            f"{len(drawn)} images with up to {most} boxes take {num_values} label values, at most "
            f"{limits.label_values}"
        )
    classes = np.concatenate([each.rows[:, 0] for each in drawn]).astype(np.int64)
    counts = np.bincount(classes, minlength=num_classes)

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

    return BoxLabels(label, (max(1, most), _NUM_VALUES), tuple(counts.tolist()))


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
    labels = box_labels(drawn, len(names), limits)
    return Annotated(
        kind="boxes",
        images=images,
        label=labels.label,
        shape=lambda _: labels.shape,
        dtype=np.dtype(np.float32),
        splits=checked_splits(splits, [image.shown for image in images]),
        class_names=tuple(names),
        counts=labels.counts,
        notes=tuple(notes),
        left_out=leave_out("file", "without annotations", (each.member.name for each in unread)),
    )
