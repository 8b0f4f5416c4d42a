"""Recognise how the images of an archive are labelled."""

from collections.abc import Callable, Sequence

from app.contracts.settings import LimitSettings
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.coco import find_coco
from worker.pipeline.data.layouts.coco_outlines import find_coco_outlines
from worker.pipeline.data.layouts.files import File
from worker.pipeline.data.layouts.masks import find_masks
from worker.pipeline.data.layouts.pairs import find_pairs
from worker.pipeline.data.layouts.text_areas import find_text_areas
from worker.pipeline.data.layouts.texts import find_texts
from worker.pipeline.data.layouts.voc import find_voc
from worker.pipeline.data.layouts.yolo import find_yolo

# The most specific first: a YOLO archive also has text files, and a VOC archive may have masks.
Find = Callable[[Sequence[File], Sequence[File], Archive, LimitSettings], Annotated | None]

# COCO's files may have boxes and outlines: outlines come first for the task of masks.
LAYOUTS: tuple[Find, ...] = (
    find_coco,
    find_yolo,
    find_voc,
    find_masks,
    find_text_areas,
    find_pairs,
    find_texts,
    find_coco_outlines,
)


def find_annotated(
    images: Sequence[File],
    others: Sequence[File],
    archive: Archive,
    limits: LimitSettings,
    task: str = "auto",
) -> Annotated | None:
    """Return the images with their masks, texts or boxes; None if there are none beside them.

    Args:
        images: The archive's images.
        others: Its other files.
        archive: The archive.
        limits: Size limits.
        task: The task in the job's config; "auto" if it names none.
    """
    first: tuple[Find, ...] = (find_coco_outlines,) if task == "segmentation" else ()
    for find in (*first, *LAYOUTS):
        found = find(images, others, archive, limits)
        if found is not None:
            return found
    return None
