"""Unlabelled images packed for the service: emoji from npm, or your own folder."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

from PIL import Image

from examples.packages import CACHE, EMOJI, DataUnavailableError, npm_archive

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"})


def pack_images(source: Path | None, folder: Path) -> Path:
    """Return a zip of images without class folders.

    Args:
        source: Folder, searched recursively, or a zip, returned unchanged. None means emoji.
        folder: Folder for the new zip.

    Raises:
        DataUnavailableError: The source has no images, or the emoji are not available.
    """
    if source is None:
        return emoji_zip()
    if source.suffix == ".zip" and source.is_file():
        return source
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in ENDINGS)
    if not paths:
        endings = ", ".join(sorted(ENDINGS))
        raise DataUnavailableError(f"{source} holds no images ({endings}) and is not a zip file")
    packed = folder / "images.zip"
    with zipfile.ZipFile(packed, "w") as target:
        for number, path in enumerate(paths):  # numbered: a folder would become a class
            target.write(path, f"{number:06d}{path.suffix.lower()}")
    return packed


def emoji_zip() -> Path:
    """Return a zip of 1,906 emoji on white, one per image, without class folders.

    Raises:
        DataUnavailableError: The npm package is not available.
    """
    path = CACHE / "emoji.zip"
    if path.exists():
        return path
    partial = path.with_suffix(".partial")
    with npm_archive(EMOJI) as source, zipfile.ZipFile(partial, "w") as target:
        glyphs = json.loads(_read(source, "package/emoji.json"))
        for name in sorted(str(glyph["image"]) for glyph in glyphs):
            image = Image.open(io.BytesIO(_read(source, f"package/img/google/64/{name}")))
            ground = Image.new("RGBA", image.size, "white")
            pixels = io.BytesIO()
            Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB").save(pixels, "PNG")
            target.writestr(name, pixels.getvalue())
    partial.replace(path)
    return path


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None  # noqa: S101  # the pinned package has it
    return file.read()
