"""Archives of images: class folders, such as ``cat/1.png`` below ``train/``, or with annotations.

This module checks names and lists the files it leaves out; `tree` interprets class folders, and
`layouts` masks, texts and boxes.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from app.contracts.images import SUFFIXES
from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError
from worker.pipeline.data.archives import Archive, open_tar, open_zip
from worker.pipeline.data.images import ImageTarget, decode_images
from worker.pipeline.data.labels import Labels, to_labels
from worker.pipeline.data.layouts.files import File
from worker.pipeline.data.layouts.finding import find_annotated
from worker.pipeline.data.layouts.reading import read_annotated
from worker.pipeline.data.left_out import LeftOut, leave_out, shown
from worker.pipeline.data.raw import RawData
from worker.pipeline.data.splits import Split
from worker.pipeline.data.tree import Tree, understand

_PART = re.compile(r"[^\x00-\x1f]{1,200}")
_DRIVE = re.compile(r"[A-Za-z]:.*")
# Files that operating systems leave behind without a leading dot, in lower case.
_LITTER = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
    | {"__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
)
_HIDDEN = "hidden or a system file"
_NO_IMAGE = "not an image of a supported format"


def read_zip(path: Path, target: ImageTarget, scratch: Path) -> RawData:
    """Return the images of a zip; see `read_folders`."""
    with open_zip(path, target.limits) as archive:
        return read_folders(archive, target, scratch)


def read_tar(path: Path, target: ImageTarget, scratch: Path) -> RawData:
    """Return the images of a tar, plain or gzipped; see `read_folders`."""
    with open_tar(path, scratch, target.limits) as archive:
        return read_folders(archive, target, scratch)


def read_folders(archive: Archive, target: ImageTarget, scratch: Path) -> RawData:
    """Return the images (N, C, H, W) of an archive, sorted by name.

    Raises:
        DataError: A name leaves the archive's root, an image cannot be decoded, or the folders
            are ambiguous.
        DataTooLargeError: A limit is exceeded.
    """
    images, others, left_out = _sort(archive)
    annotated = find_annotated(images, others, archive, target.limits, target.task)
    if annotated is not None:
        images_only = [entry for entry in left_out if entry.reason != _NO_IMAGE]
        return read_annotated(annotated, archive, target, scratch, tuple(images_only))
    paths = [image.parts for image in images]
    tree = understand(paths, [*_parents(others), *_folders(archive)])
    chosen = [i for i in range(len(images)) if i not in tree.left_out]
    left_out += [
        entry
        for reason in dict.fromkeys(tree.left_out.values())
        for entry in leave_out(
            "file",
            reason,
            ("/".join(paths[i]) for i, why in tree.left_out.items() if why == reason),
        )
    ]
    labels = _labels(tree, chosen, target.limits)
    split = None
    if tree.splits is not None:
        split = np.array([tree.splits[i] for i in chosen], np.uint8)
        if not (split == Split.TRAIN).any():
            raise DataError("no image lies under train/")
    files = ((repr(images[i].member.name[:80]), archive.read(images[i].member)) for i in chosen)
    rows, notes = decode_images(files, len(chosen), target, scratch / "images.bin")
    return RawData(rows, labels, split, (*tree.notes, *notes), tuple(left_out))


def _sort(archive: Archive) -> tuple[list[File], list[File], list[LeftOut]]:
    """Return the images sorted by name, the other files, and the notes on files left out."""
    images: list[File] = []
    others: list[File] = []
    hidden: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for member in archive.members:
        parts = _parts(member.name)
        if parts in seen:
            raise DataError(f"the {archive.kind} holds entry {member.name[:80]!r} twice")
        seen.add(parts)
        if _is_hidden(parts):
            hidden.append(member.name)
            continue
        file = File(member, _composed(parts))
        is_image = PurePosixPath(parts[-1]).suffix.lower() in SUFFIXES
        (images if is_image else others).append(file)
    if not images:
        found = [other.member.name for other in others]
        what = f": {shown(found)} is not an image ({', '.join(sorted(SUFFIXES))})" if found else ""
        ignored = f"; {shown(hidden)} is {_HIDDEN}" if hidden else ""
        raise DataError(f"the {archive.kind} holds no image{what}{ignored}")
    images.sort(key=lambda image: ("/".join(image.parts), image.member.name))
    names = [other.member.name for other in others]
    left_out = [*leave_out("file", _NO_IMAGE, names), *leave_out("file", _HIDDEN, hidden)]
    return images, others, left_out


def _parts(name: str) -> tuple[str, ...]:
    """Return the folders and the name of an entry; Windows' archiver writes backslashes.

    Raises:
        DataError: The path leaves the archive's root, or is not a valid name.
    """
    plain = name.replace("\\", "/")
    parts = PurePosixPath(plain).parts
    is_inside = not plain.startswith("/") and ".." not in parts and len(parts) > 0
    is_litter = parts[-1:] == ("Icon\r",)
    if (
        not is_inside
        or _DRIVE.fullmatch(parts[0])
        or not (is_litter or all(map(_PART.fullmatch, parts)))
    ):
        raise DataError(f"entry {name[:80]!r} has a name that is not accepted")
    return parts


def _is_hidden(parts: Iterable[str]) -> bool:
    return any(part.startswith(".") or part.lower() in _LITTER for part in parts)


def _composed(parts: Iterable[str]) -> tuple[str, ...]:
    """Return names in NFC, as Windows and Linux write them; macOS decomposes accents."""
    return tuple(unicodedata.normalize("NFC", part) for part in parts)


def _parents(files: Iterable[File]) -> Iterable[tuple[str, ...]]:
    return {file.parts[:-1] for file in files if len(file.parts) > 1}


def _folders(archive: Archive) -> Iterable[tuple[str, ...]]:
    """Yield the archive's folder entries, except hidden ones."""
    for name in archive.folders:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if parts and not _is_hidden(parts):
            yield _composed(parts)


def _labels(tree: Tree, chosen: Sequence[int], limits: LimitSettings) -> Labels:
    if tree.classes is None:
        return Labels("none", None)
    classes = [tree.classes[i] for i in chosen]
    names = sorted(set(classes))
    numbers = {name: number for number, name in enumerate(names)}
    return to_labels([np.array([numbers[name] for name in classes], np.int64)], names, limits)
