"""Images with masks: ``images/…/a.jpg`` and ``masks/…/a.png`` of the same size.

A mask's pixels are class numbers, as grey values or in a palette; 255 does not count. If the masks
have only 0 and 255, 255 is class 1. ``classes.txt`` may name the classes, one a line. VOC's lists
in ``ImageSets/Segmentation`` choose the images and give the split.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.contracts.images import ImageError, ImageTooLargeError, decode_mask
from app.contracts.placement import Placement
from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.files import (
    File,
    Parts,
    checked_splits,
    read_class_names,
)
from worker.pipeline.data.layouts.image_sets import ImageSets
from worker.pipeline.data.left_out import leave_out

IGNORED = 255
_IMAGES = frozenset({"images", "image", "imgs", "img", "jpegimages"})
_MASKS = frozenset({"masks", "mask", "segmentationclass", "segmentations", "annotations"})
_ENDINGS = ("_mask", "-mask", "_seg", "_labels")
_LEAST_SHARE = 0.5  # of the images that must have a mask to be read as such
_NUM_TRIED = 16  # masks that show whether 255 is a class, and the number of classes


def find_masks(
    images: Sequence[File], others: Sequence[File], archive: Archive, limits: LimitSettings
) -> Annotated | None:
    """Return the images and masks of an archive; None if it has no folder of masks.

    Raises:
        DataError: A mask is damaged or has another size than its image.
        DataTooLargeError: A limit is exceeded.
    """
    keyed = [(key, file) for file in images if (key := _key(file.parts, _MASKS, masks=True))]
    masks = dict(keyed)
    if len(masks) < len(keyed):
        raise DataError("two masks belong to the same image: keep one mask an image")
    plain = [(key, file) for file in images if (key := _key(file.parts, _IMAGES, masks=False))]
    pairs = [(file, masks[key]) for key, file in plain if key in masks]
    sets = ImageSets(others, "segmentation", archive, limits)
    is_listed = any(sets.has_lists(image) for image, _ in pairs)
    if not pairs or (len(pairs) < _LEAST_SHARE * len(plain) and not is_listed):
        return None
    pairs = [pair for pair in pairs if sets.has(pair[0])]
    if not pairs:
        raise DataError("the lists in ImageSets/Segmentation name no image that has a mask")
    used = {file for pair in pairs for file in pair}
    unread = [file.member.name for file in images if file not in used]
    has_two = _are_two_values([mask for _, mask in pairs], archive, limits)
    names = read_class_names(others, archive, limits)
    if len(names) > IGNORED:
        raise DataTooLargeError(
            f"{len(names)} classes are named, at most {IGNORED}: masks have bytes"
        )

    def label(number: int, place: Placement, size: tuple[int, int]) -> NDArray[np.uint8]:
        mask = pairs[number][1]
        values = _decode(mask, archive, limits)
        if values.shape != place.image_size:
            raise DataError(
                f"mask {mask.shown} is {values.shape[1]}x{values.shape[0]}, its image "
                f"{place.image_size[1]}x{place.image_size[0]}: both need the same size"
            )
        if has_two:
            values = _two_classes(values, mask)
        return placed(values, place, size)

    chosen = [image for image, _ in pairs]
    notes = ("the masks have only the values 0 and 255: 255 is class 1",) if has_two else ()
    if has_two and not names:
        names = ["background", "object"]
    return Annotated(
        kind="masks",
        images=chosen,
        label=label,
        shape=lambda size: size,
        dtype=np.dtype(np.uint8),
        splits=checked_splits(
            [sets.split(image) for image in chosen], [image.shown for image in chosen]
        ),
        class_names=tuple(names),
        are_named=bool(names),
        notes=notes,
        left_out=leave_out("file", "an image without a mask, or a mask without an image", unread),
    )


def _key(parts: Parts, words: frozenset[str], *, masks: bool) -> Parts | None:
    """Return what an image and its mask share: the path without the folder that differs."""
    places = [n for n, part in enumerate(parts[:-1]) if part.casefold() in words]
    if not places:
        return None
    stem = parts[-1].rpartition(".")[0]
    if masks:
        for ending in _ENDINGS:
            stem = stem.removesuffix(ending)
    return (*parts[: places[-1]], *parts[places[-1] + 1 : -1], stem)


def _are_two_values(masks: Sequence[File], archive: Archive, limits: LimitSettings) -> bool:
    tried = masks[:: max(1, len(masks) // _NUM_TRIED)][:_NUM_TRIED]
    seen = {int(v) for mask in tried for v in np.unique(_decode(mask, archive, limits))}
    return IGNORED in seen and seen <= {0, IGNORED}


def _two_classes(values: NDArray[np.uint8], mask: File) -> NDArray[np.uint8]:
    other = values[(values != 0) & (values != IGNORED)]
    if other.size:
        raise DataError(
            f"mask {mask.shown} has the value {other[0]}, while others have only 0 and 255: write "
            "the numbers of the classes, and 255 for pixels that do not count"
        )
    found: NDArray[np.uint8] = (values == IGNORED).astype(np.uint8)
    return found


def placed(values: NDArray[np.uint8], place: Placement, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a mask in the input's size; pixels beside the image do not count."""
    inner = place.height, place.width
    if values.shape != inner:
        image = Image.fromarray(values)
        resized = image.resize((inner[1], inner[0]), Image.Resampling.NEAREST)
        values = np.asarray(resized, np.uint8)
    if inner == size:
        return values
    whole = np.full(size, IGNORED, np.uint8)
    whole[place.cut(size, size)] = values
    return whole


def _decode(mask: File, archive: Archive, limits: LimitSettings) -> NDArray[np.uint8]:
    try:
        return decode_mask(archive.read(mask.member), limits.image_pixels)
    except ImageTooLargeError as error:
        raise DataTooLargeError(f"mask {mask.shown} {error}") from error
    except ImageError as error:
        raise DataError(f"mask {mask.shown} {error}") from error
