"""Recognise how the images of an archive are labelled."""

from collections.abc import Sequence

from app.contracts.settings import LimitSettings
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.coco import find_coco
from worker.pipeline.data.layouts.files import File
from worker.pipeline.data.layouts.masks import find_masks
from worker.pipeline.data.layouts.texts import find_texts
from worker.pipeline.data.layouts.voc import find_voc
from worker.pipeline.data.layouts.yolo import find_yolo

# The most specific first: a YOLO archive also has text files, and a VOC archive may have masks.
LAYOUTS = (find_coco, find_yolo, find_voc, find_masks, find_texts)


def find_annotated(
    images: Sequence[File], others: Sequence[File], archive: Archive, limits: LimitSettings
) -> Annotated | None:
    """Return the images with their masks, texts or boxes; None if there are none beside them."""
    for find in LAYOUTS:
        found = find(images, others, archive, limits)
        if found is not None:
            return found
    return None
