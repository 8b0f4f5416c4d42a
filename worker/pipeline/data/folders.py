"""Archives of class folders: ``cat/1.png``, optionally below ``train/``, ``val/`` and ``test/``.

Images that lie in no folder but those of the splits have no labels.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from app.contracts.settings import LimitSettings
from worker.engine.errors import DataError
from worker.pipeline.data.archives import Archive, Member
from worker.pipeline.data.images import ImageTarget, decode_images
from worker.pipeline.data.labels import Labels, to_labels
from worker.pipeline.data.raw import RawData
from worker.pipeline.data.splits import SPLIT_NAMES, Split

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_PART = re.compile(r"[^\x00-\x1f\\/:]{1,200}")


@dataclass(frozen=True, slots=True)
class _Image:
    member: Member
    parts: tuple[str, ...]


def read_folders(archive: Archive, target: ImageTarget, scratch: Path) -> RawData:
    """Return the images (N, C, H, W) of an archive, in the order of their names.

    Raises:
        DataError: A name leaves its folder, an image is no image or too large, a class is missing.
    """
    images = _images(archive)
    labels = _labels(images, target.limits)
    split = _split(images, is_flat=labels.kind == "none")
    files = ((repr(i.member.name[:80]), archive.read(i.member)) for i in images)
    return RawData(decode_images(files, len(images), target, scratch / "images.bin"), labels, split)


def _images(archive: Archive) -> list[_Image]:
    images: dict[tuple[str, ...], _Image] = {}
    for member in archive.members:
        parts = PurePosixPath(member.name).parts
        shown = repr(member.name[:80])
        is_inside = not member.name.startswith("/") and ".." not in parts and len(parts) > 0
        if not is_inside or not all(map(_PART.fullmatch, parts)):
            raise DataError(f"entry {shown} has a name that is not accepted")
        if parts[0] == "__MACOSX" or parts[-1].startswith("."):
            continue
        if PurePosixPath(member.name).suffix.lower() not in _SUFFIXES:
            raise DataError(f"entry {shown} is not an image ({', '.join(sorted(_SUFFIXES))})")
        if parts in images:
            raise DataError(f"entry {shown} is in the {archive.kind} twice")
        images[parts] = _Image(member, parts)
    if not images:
        raise DataError(f"the {archive.kind} holds no image")
    found = _without_wrapper(list(images.values()))
    return sorted(found, key=lambda image: "/".join(image.parts))


def _without_wrapper(images: list[_Image]) -> list[_Image]:
    """Drop the one folder around all splits that packing a folder leaves: ``pets/train/cat/…``."""
    outer = {image.parts[0] for image in images}
    is_wrapped = (
        len(outer) == 1
        and not outer & SPLIT_NAMES.keys()
        and all(
            len(image.parts) > 2 and image.parts[1] in SPLIT_NAMES  # noqa: PLR2004  # pets/train/…
            for image in images
        )
    )
    return [_Image(i.member, i.parts[1:]) for i in images] if is_wrapped else images


def _labels(images: Sequence[_Image], limits: LimitSettings) -> Labels:
    folders = [image.parts[:-1] for image in images]
    if all(not path or (len(path) == 1 and path[0] in SPLIT_NAMES) for path in folders):
        return Labels("none", None)
    for image, path in zip(images, folders, strict=True):
        if not path:
            raise DataError(f"entry {image.member.name[:80]!r} is in no class folder")
    names = sorted({path[-1] for path in folders})
    numbers = {name: number for number, name in enumerate(names)}
    values = np.array([numbers[path[-1]] for path in folders], np.int64)
    return to_labels([values], names, limits)


def _split(images: Sequence[_Image], *, is_flat: bool) -> NDArray[np.uint8] | None:
    num_inner = 1 if is_flat else 2  # the file, or its class and the file
    splits = [
        SPLIT_NAMES.get(image.parts[0]) if len(image.parts) > num_inner else None
        for image in images
    ]
    if len({split is None for split in splits}) > 1:
        raise DataError("some images lie under train/, val/ or test/ and some do not")
    known = [split for split in splits if split is not None]
    if not known:
        return None
    if Split.TRAIN not in known:
        raise DataError("no image lies under train/")
    return np.array(known, dtype=np.uint8)
