"""Decode the images of a layout, and write their labels beside them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from app.contracts.placement import Placement
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.images import ImageTarget, decode_images
from worker.pipeline.data.labels import Labels
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.left_out import LeftOut
from worker.pipeline.data.raw import RawData
from worker.pipeline.data.rows import RowFile, Rows

_IGNORED = 255
_KEEP_RATIO = frozenset({"boxes", "keypoints"})


def read_annotated(
    annotated: Annotated,
    archive: Archive,
    target: ImageTarget,
    scratch: Path,
    left_out: tuple[LeftOut, ...],
) -> RawData:
    """Return the images (N, C, H, W) and their labels.

    Raises:
        DataError: An image or its labels cannot be read.
        DataTooLargeError: A limit is exceeded.
    """
    if annotated.kind in _KEEP_RATIO and target.preprocess.fit is None:
        preprocess = target.preprocess.model_copy(update={"fit": "letterbox"})
        target = replace(target, preprocess=preprocess)
    images, path = annotated.images, scratch / "labels.bin"
    highest = -1
    num_images = np.zeros(256, np.int64)  # that show each class of masks
    shape: tuple[int, ...] = ()
    with path.open("wb") as out:

        def write(number: int, place: Placement, size: tuple[int, int]) -> None:
            nonlocal shape, highest
            shape = annotated.shape(size)
            values = np.ascontiguousarray(annotated.label(number, place, size))
            if annotated.kind == "masks":
                counted = values[values != _IGNORED]
                present = np.unique(counted)
                num_images[present] += 1
                highest = max(highest, int(present[-1]) if present.size else -1)
            out.write(values.reshape(-1).view(np.uint8).data)

        files = ((image.shown, archive.read(image.member)) for image in images)
        rows, notes = decode_images(files, len(images), target, scratch / "images.bin", write)
    values = np.fromfile(path, annotated.dtype) if annotated.kind == "identities" else None
    file = RowFile(path, 0, len(images), shape, annotated.dtype)
    names = annotated.class_names or tuple(str(number) for number in range(highest + 1))
    labels = Labels(
        annotated.kind,
        values,
        names,
        max(len(names), highest + 1),
        is_named=annotated.are_named,
        rows=Rows([file]) if values is None else None,
        counts=annotated.counts or tuple(num_images[: highest + 1].tolist()),
    )
    split = None if annotated.splits is None else np.array(annotated.splits, np.uint8)
    return RawData(
        rows,
        labels,
        split,
        (*annotated.notes, *notes),
        (*left_out, *annotated.left_out),
        target.preprocess.fit,
    )
