"""Keypoints of images, in the form of the metrics' labels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.contracts.placement import Placement
from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataTooLargeError
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.files import File, checked_splits
from worker.pipeline.data.left_out import leave_out
from worker.pipeline.data.splits import Split

PADDING = -1.0  # state of the rows after an image's last object
BEFORE = 6  # values before the keypoints


def annotate_poses(  # noqa: PLR0913, PLR0917  # what a layout has found
    images: Sequence[File],
    rows: Sequence[NDArray[np.float32]],
    splits: Sequence[Split | None],
    names: Sequence[str],
    unread: Sequence[File],
    limits: LimitSettings,
    notes: Sequence[str] = (),
    *,
    are_shares: bool = False,
    are_named: bool = True,
) -> Annotated:
    """Return images and keypoints as samples and labels.

    Args:
        images: The images.
        rows: Objects of each image in pixels: state (0, or 1 if it does not count), x0, y0, x1, y1,
            area, then x, y and visibility of each keypoint.
        splits: Split of each image.
        names: Names of the keypoints.
        unread: Images without annotations.
        limits: Size limits.
        notes: Notes for the user.
        are_shares: Whether places are shares of the image's sides, and areas of its area, instead
            of pixels.
        are_named: Whether the archive names the keypoints.

    Raises:
        DataError: The splits are incomplete.
        DataTooLargeError: There are too many labels.
    """
    most = max(1, *(len(each) for each in rows))
    width = BEFORE + 3 * len(names)
    if len(images) * most * width > limits.label_values:
        raise DataTooLargeError(
            f"{len(images)} images with up to {most} objects of {len(names)} keypoints take "
            f"{len(images) * most * width} label values, at most {limits.label_values}"
        )
    seen = sum((each[:, BEFORE + 2 :: 3] > 0).sum(0) for each in rows)

    def label(number: int, place: Placement, size: tuple[int, int]) -> NDArray[np.float32]:
        del size
        own = rows[number].astype(np.float64)
        found = np.full((most, width), PADDING, np.float32)
        height, image_width = place.image_size
        if are_shares:
            own[:, 1:5] *= np.array([image_width, height] * 2)
            own[:, 5] *= height * image_width
            own[:, BEFORE::3] *= image_width
            own[:, BEFORE + 1 :: 3] *= height
        found[: len(own)] = own
        found[: len(own), 1:5] = place.forward(own[:, 1:5])
        found[: len(own), 5] = own[:, 5] * (place.height * place.width / (height * image_width))
        points = own[:, BEFORE:].reshape(-1, 3)
        placed = np.concatenate([place.forward_points(points[:, :2]), points[:, 2:]], 1)
        found[: len(own), BEFORE:] = placed.reshape(len(own), width - BEFORE)
        return found

    return Annotated(
        kind="keypoints",
        images=images,
        label=label,
        shape=lambda _: (most, width),
        dtype=np.dtype(np.float32),
        splits=checked_splits(splits, [image.shown for image in images]),
        class_names=tuple(names),
        are_named=are_named,
        counts=tuple(np.asarray(seen).tolist()),
        notes=tuple(notes),
        left_out=leave_out("file", "without annotations", (each.member.name for each in unread)),
    )
