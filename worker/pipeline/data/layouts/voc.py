"""Pascal VOC: an XML file for each image, such as ``Annotations/a.xml`` for ``JPEGImages/a.jpg``.

Lists in ``ImageSets/Main`` choose the images and give the split. VOC counts pixels from 1, and a
box's last pixel belongs to it. Many tools write edges counted from 0 instead: a fraction or a zero
anywhere tells them apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.boxes import DIFFICULT, LARGEST, ROTATED, Drawn, annotate
from worker.pipeline.data.layouts.files import (
    File,
    Finder,
    Parts,
    read_class_names,
    read_text,
)
from worker.pipeline.data.layouts.image_sets import ImageSets

_FOLDERS = frozenset({"annotations", "annotation", "xml", "xmls", "labels"})
_IMAGES = frozenset({"jpegimages", "images", "image", "imgs", "img"})
_MASKS = frozenset({"segmentationclass", "segmentationobject"})
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_MOST_BYTES = 2**20  # of one XML file, which describes one image


@dataclass(frozen=True)
class _Box:
    name: str
    corners: tuple[float, ...]
    is_difficult: bool


@dataclass(frozen=True)
class _Annotation:
    """Content of one XML file."""

    file: File
    image: str
    boxes: tuple[_Box, ...]


def find_voc(
    images: Sequence[File], others: Sequence[File], archive: Archive, limits: LimitSettings
) -> Annotated | None:
    """Return the images and boxes of XML files; None if the archive has no such file.

    Raises:
        DataError: A file is damaged, names an unknown class, or belongs to no image.
        DataTooLargeError: A limit is exceeded.
    """
    files = [file for file in others if file.suffix == ".xml"]
    found = [each for file in files if (each := _read(archive, file, limits)) is not None]
    if not found:
        return None
    sets = ImageSets(others, "main", archive, limits)
    chosen, num_missing = _matched(images, found)
    if not chosen:
        raise DataError(
            f"{found[0].file.shown} describes the image {found[0].image[:80]!r}, but the archive "
            "has no image of that name: pack the images beside the XML files"
        )
    listed = [image for image in chosen if sets.has(image)]
    if not listed:
        raise DataError("the lists in ImageSets/Main name no image that has an XML file")
    names, notes = _class_names(found, others, archive, limits)
    numbers = {name: number for number, name in enumerate(names)}
    are_edges = any(_is_edge(box.corners) for each in found for box in each.boxes)
    if num_missing:
        notes.append(f"{num_missing} XML files describe images that are not in the archive")
    if any(_folder_of(image, _MASKS) for image in images):
        notes.append("the archive also has masks: leave the XML files out of it to read those")
    splits = [sets.split(image) for image in listed]
    unread = [image for image in images if image not in set(listed)]
    drawn = [_drawn(chosen[image], numbers, are_edges=are_edges) for image in listed]
    return annotate(listed, drawn, splits, names, unread, limits, notes)


def _read(archive: Archive, file: File, limits: LimitSettings) -> _Annotation | None:
    """Return the content of an XML file; None if it is something else than an annotation."""
    if file.member.num_bytes > _MOST_BYTES:
        raise DataTooLargeError(
            f"annotation file {file.shown} is {file.member.num_bytes} bytes, at most {_MOST_BYTES} "
            "for one image"
        )
    text = read_text(archive, file, limits)
    if "<annotation" not in text:
        return None
    if "<!DOCTYPE" in text:  # its entities may stand for more text than there is memory
        raise DataError(f"{file.shown} has a DOCTYPE, which is not accepted: remove it")
    try:
        root = ET.fromstring(text)  # noqa: S314  # small, and without entities
    except (ET.ParseError, ValueError) as error:
        raise DataError(f"annotation file {file.shown} is not XML: {error}") from error
    if root.tag != "annotation":
        return None
    image = (root.findtext("filename") or "").strip()
    return _Annotation(file, image, tuple(_box(each, file) for each in root.findall("object")))


def _box(element: ET.Element, file: File) -> _Box:
    name = (element.findtext("name") or "").strip()[:200]
    if element.find("robndbox") is not None:
        raise DataError(f"an object in {file.shown} has a 'robndbox'; {ROTATED}")
    written = [element.findtext(f"bndbox/{corner}") or "" for corner in _CORNERS]
    try:
        corners = tuple(map(float, written))
    except ValueError:
        corners = (math.nan,)
    if not name or not all(abs(corner) <= LARGEST for corner in corners):
        raise DataError(
            f"an object in {file.shown} needs a 'name' and a 'bndbox' with the numbers "
            f"{', '.join(_CORNERS)}; it has {name!r} and {', '.join(written)[:60]!r}"
        )
    return _Box(name, corners, (element.findtext("difficult") or "").strip() == "1")


def _matched(
    images: Sequence[File], found: Sequence[_Annotation]
) -> tuple[dict[File, _Annotation], int]:
    """Return the annotation of each image, sorted, and the number of annotations without one."""
    finder = Finder(images)
    by_key = {_key(image.parts): image for image in images if not _folder_of(image, _MASKS)}
    chosen: dict[File, _Annotation] = {}
    for each in found:
        # Names of files are right more often than what renamed files say about themselves.
        image = by_key.get(_key(each.file.parts)) or finder.find(each.image, each.file.parts[:-1])
        if image is None:
            continue
        if image in chosen:
            raise DataError(
                f"{chosen[image].file.shown} and {each.file.shown} both describe the image "
                f"{image.shown}: keep one"
            )
        chosen[image] = each
    ordered = {image: chosen[image] for image in sorted(chosen, key=lambda image: image.parts)}
    return ordered, len(found) - len(chosen)


def _key(parts: Parts) -> Parts:
    """Return what an image and its XML file share: the path without the folder that differs."""
    kept = [part for part in parts[:-1] if part.casefold() not in _FOLDERS | _IMAGES]
    return (*kept, parts[-1].rpartition(".")[0])


def _folder_of(image: File, words: frozenset[str]) -> bool:
    return any(part.casefold() in words for part in image.parts[:-1])


def _class_names(
    found: Sequence[_Annotation], others: Sequence[File], archive: Archive, limits: LimitSettings
) -> tuple[list[str], list[str]]:
    """Return the names in the order of their numbers, and notes."""
    used = {box.name: each.file for each in found for box in each.boxes}
    names = read_class_names(others, archive, limits)
    unknown = next((name for name in used if names and name not in names), None)
    if unknown is not None:
        raise DataError(
            f"{used[unknown].shown} has the class {unknown!r}, which classes.txt does not name"
        )
    notes = []
    if not names:
        names = sorted(used)
        notes.append(
            f"there is no classes.txt: the {len(names)} classes are numbered in alphabetical "
            "order. If the network was trained with another order, add the file, one name a line"
        )
    if len(names) > limits.classes:
        raise DataTooLargeError(
            f"the annotations have {len(names)} classes, at most {limits.classes}"
        )
    return names, notes


def _is_edge(corners: Sequence[float]) -> bool:
    return min(corners) < 1 or not all(each.is_integer() for each in corners)


def _drawn(annotation: _Annotation, numbers: dict[str, int], *, are_edges: bool) -> Drawn:
    first = 0 if are_edges else 1
    rows = [
        (numbers[box.name], x0 - first, y0 - first, x1, y1, DIFFICULT * box.is_difficult)
        for box in annotation.boxes
        for x0, y0, x1, y1 in [box.corners]
        if x1 > x0 - first and y1 > y0 - first
    ]
    return Drawn(np.array(rows, np.float32).reshape(-1, 6), are_shares=False)
