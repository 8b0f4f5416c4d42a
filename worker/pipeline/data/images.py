"""Zips of class folders: ``cat/1.png``, optionally below ``train/``, ``val/`` and ``test/``.

Images are checked and decoded one by one into a memory-mapped array, so memory stays bounded.
"""

import io
import re
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from app.contracts.spec import PreprocessSpec
from worker.engine.errors import DataError

MAX_MEMBERS = 2_000_000
MAX_IMAGE_BYTES = 64 * 1024**2
MAX_RATIO = 100
_SPLITS = {"train": 0, "val": 1, "validation": 1, "test": 2}
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_PART = re.compile(r"[^\x00-\x1f\\/:]{1,200}")
_MODES = {1: "L", 3: "RGB"}

Parts = tuple[NDArray[Any], NDArray[np.int64], NDArray[np.uint8] | None, tuple[str, ...]]


def read_image_folders(
    path: Path,
    preprocess: PreprocessSpec,
    scratch: Path,
    image_pixels: int,
    image_shape: tuple[int, ...] | None,
) -> Parts:
    """Return images (N, C, H, W), labels, split and class names of a zip of class folders.

    Raises:
        DataError: A name leaves its folder, an image is no image or too large, a class is missing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            names = tuple(sorted({label for _, label, _ in members}))
            shape = _target_shape(archive, members, preprocess, image_pixels, image_shape)
            target = scratch / "images.npy"
            x = npy.open_memmap(target, "w+", np.uint8, (len(members), *shape))
            for row, (info, _, _) in enumerate(members):
                x[row] = _decode(archive, info, shape, image_pixels)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise DataError("the data set is not a zip file, or a damaged one") from error
    x.flush()
    y = np.array([names.index(label) for _, label, _ in members], dtype=np.int64)
    splits = [split for *_, split in members]
    split = None if splits[0] is None else np.array(splits, dtype=np.uint8)
    if split is not None and not (split == 0).any():
        raise DataError("no image lies under train/")
    return x, y, split, names


def _members(archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, str, int | None]]:
    """Return image entry, class and split of every image, in the order of their names."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if not 0 < len(infos) <= MAX_MEMBERS:
        raise DataError(f"the zip has {len(infos)} files, 1 to {MAX_MEMBERS} are accepted")
    members = []
    for info in infos:
        parts = PurePosixPath(info.filename).parts
        shown = repr(info.filename[:80])
        _check_name(info, parts)
        if parts[0] == "__MACOSX" or parts[-1].startswith("."):
            continue
        if PurePosixPath(info.filename).suffix.lower() not in _SUFFIXES:
            raise DataError(f"entry {shown} is not an image ({', '.join(sorted(_SUFFIXES))})")
        if info.file_size > MAX_IMAGE_BYTES or info.file_size > MAX_RATIO * max(
            1024, info.compress_size
        ):
            raise DataError(f"entry {shown} is {info.file_size} bytes, at most {MAX_IMAGE_BYTES}")
        split = _SPLITS.get(parts[0]) if len(parts) > 2 else None  # noqa: PLR2004  # split/class/file
        if len(parts) < 2:  # noqa: PLR2004  # class/file
            raise DataError(f"entry {shown} is in no class folder")
        members.append((info, parts[-2], split))
    if not members:
        raise DataError("the zip holds no image")
    if len({split is None for *_, split in members}) > 1:
        raise DataError("some images lie under train/, val/ or test/ and some do not")
    return sorted(members, key=lambda member: member[0].filename)


def _check_name(info: zipfile.ZipInfo, parts: tuple[str, ...]) -> None:
    shown = repr(info.filename[:80])
    if info.filename.startswith("/") or ".." in parts or not all(map(_PART.fullmatch, parts)):
        raise DataError(f"entry {shown} has a name that is not accepted")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise DataError(f"entry {shown} is a link")


def _target_shape(
    archive: zipfile.ZipFile,
    members: list[tuple[zipfile.ZipInfo, str, int | None]],
    preprocess: PreprocessSpec,
    image_pixels: int,
    image_shape: tuple[int, ...] | None,
) -> tuple[int, int, int]:
    """Return (C, H, W): from the spec, else from the network, else from the first image."""
    with _open(archive, members[0][0], image_pixels) as first:
        channels = 1 if first.mode in {"1", "L", "I;16"} else 3
        size = (first.height, first.width)
    if image_shape is not None and len(image_shape) == 3:  # noqa: PLR2004  # (C, H, W)
        channels, size = image_shape[0], (image_shape[1], image_shape[2])
    if preprocess.channels is not None:
        channels = 1 if preprocess.channels == "grey" else 3
    if preprocess.resize is not None:
        size = preprocess.resize
    if channels not in _MODES:
        raise DataError(f"the network takes {channels} channels; images give 1 or 3")
    return (channels, *size)


def _decode(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, shape: tuple[int, int, int], image_pixels: int
) -> NDArray[np.uint8]:
    channels, height, width = shape
    with _open(archive, info, image_pixels) as image:
        converted = image.convert(_MODES[channels])
        if converted.size != (width, height):
            converted = converted.resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(converted)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _open(archive: zipfile.ZipFile, info: zipfile.ZipInfo, image_pixels: int) -> Image.Image:
    shown = repr(info.filename[:80])
    with archive.open(info) as file:
        data = file.read(MAX_IMAGE_BYTES + 1)
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if image.width * image.height > image_pixels:
            raise DataError(
                f"image {shown} has {image.width}x{image.height} pixels, at most {image_pixels}"
            )
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"image {shown} cannot be decoded") from error
    return image
