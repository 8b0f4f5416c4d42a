"""Packs a folder of images into a zip, because the service takes one file.

The same folder gives the same bytes, so a folder that is stored already can be found by its hash.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

from secateur.core.files import WrongFileError, check_path, is_image
from secateur.errors import UnsupportedFileError

_DATE = (1980, 1, 1, 0, 0, 0)
_HEAD_BYTES = 64


def pack_folder(path: Path, target: Path) -> Path:
    """Return a file unchanged, or the path of a new zip in ``target`` of a folder with images.

    Hidden files and links are left out.

    Raises:
        UnsupportedFileError: The folder has no images; the message says what it is.
    """
    if not path.is_dir():
        return path
    files = sorted(found for found in path.rglob("*") if _is_wanted(found, path))
    if not any(_has_image(found) for found in files):
        try:
            check_path(path, "dataset")
        except WrongFileError as error:
            if error.kind is None and files:
                raise UnsupportedFileError(_without_images(path, files)) from error
            raise UnsupportedFileError(str(error)) from error
    packed = target / f"{path.resolve().name}.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for found in files:
            entry = zipfile.ZipInfo(found.relative_to(path).as_posix(), _DATE)
            with found.open("rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
                while chunk := source.read(1 << 20):
                    sink.write(chunk)
    return packed


def _without_images(path: Path, files: Sequence[Path]) -> str:
    first = files[0].relative_to(path).as_posix()
    return (
        f"{path} has no images; its first file is {first!r}. Make a folder for each class and put "
        "its images there"
    )


def _is_wanted(found: Path, root: Path) -> bool:
    names = found.relative_to(root).parts
    is_hidden = any(name.startswith(".") for name in names)
    return not is_hidden and found.is_file() and not found.is_symlink()


def _has_image(path: Path) -> bool:
    with path.open("rb") as file:
        return is_image(file.read(_HEAD_BYTES))
