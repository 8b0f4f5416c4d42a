"""COCO's ``segmentation`` as masks: the background is class 0, and the categories follow.

A category named "background" with the lowest id is the background itself. Crowds do not count, as
255 in a mask.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.coco import ADVICE, categories, is_id, match, read_coco
from worker.pipeline.data.layouts.coco_keypoints import Content
from worker.pipeline.data.layouts.files import File
from worker.pipeline.data.layouts.masks import IGNORED
from worker.pipeline.data.layouts.outlines import Outline, annotate_outlines

_BACKGROUND = "background"


def find_coco_outlines(
    images: Sequence[File], others: Sequence[File], archive: Archive, limits: LimitSettings
) -> Annotated | None:
    """Return the images and masks of COCO files; None without a file that has outlines.

    Raises:
        DataError: A file is damaged, or names images that are not there.
        DataTooLargeError: A limit is exceeded.
    """
    files = read_coco({"segmentation"}, others, archive, limits)
    if not files:
        return None
    names, numbers = categories(files, limits)
    if not names or names[0].casefold() != _BACKGROUND:
        names = [_BACKGROUND, *names]
        numbers = {category: number + 1 for category, number in numbers.items()}
    rows = [_outlines(file, content, numbers) for file, content in files]
    found = match(files, rows, images)
    return annotate_outlines(
        found.images, found.rows, found.splits, names, found.unread, limits, found.notes
    )


def _outlines(
    file: File, content: Content, numbers: Mapping[Any, int]
) -> Mapping[Any, list[Outline]]:
    """Return the outlines of each image by its id."""
    rows: defaultdict[Any, list[Outline]] = defaultdict(list)
    known = {entry["id"] for entry in content["images"]}
    for each in content["annotations"]:
        area, image, category = (each.get(k) for k in ("segmentation", "image_id", "category_id"))
        where = f"annotation {str(each.get('id'))[:20]} in {file.shown}"
        if not is_id(image) or not is_id(category) or image not in known or category not in numbers:
            raise DataError(
                f"{where} needs the ids of an image and a category that exist; it has "
                f"{str(image)[:20]} and {str(category)[:20]}. {ADVICE}"
            )
        if not area:
            raise DataError(
                f"{where} has no outline in 'segmentation': outline every object, or leave out "
                "those without"
            )
        is_crowd = bool(each.get("iscrowd", 0))
        rows[image].append(Outline(IGNORED if is_crowd else numbers[category], area, where))
    return rows
