"""Image files to pixels: the one decoder of training data and of ``/infer``.

Whatever differs between two decoders (which way up a photo is held, how 16 bits become 8, how a
picture is resized) makes a network answer other pixels than it has learnt. So both sides call this.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# What photographs and scans are kept in. Pillow knows formats that run programs; it is not asked.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DEEP = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_WITH_ALPHA, _OPAQUE = frozenset({"LA", "RGBA"}), 255
_GREY = frozenset({"1", "L", "LA", "La"})
_MODES = {1: "L", 3: "RGB"}


class ImageError(ValueError):
    """An image file is refused; the message goes on after the image's name."""


class ImageTooLargeError(ImageError):
    """An image has more pixels than are accepted."""


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        image: Upright, 8 bits a value, grey (``L``) or ``RGB``.
        is_turned: Whether it lay otherwise in the file, as its EXIF says.
        is_deep: Whether it had 16 bits a value; the upper 8 are kept.
        is_transparent: Whether some of it is transparent, which is ignored.
    """

    image: Image.Image
    is_turned: bool = False
    is_deep: bool = False
    is_transparent: bool = False

    @property
    def num_channels(self) -> int:
        """1 where it is grey, else 3."""
        return 1 if self.image.mode == "L" else 3

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.height, self.image.width

    def pixels(self, num_channels: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return (C, H, W) in the colours and the size asked for, C being 1 or 3."""
        image = self.image
        if image.mode != _MODES[num_channels]:
            image = image.convert(_MODES[num_channels])
        if self.size != size:
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        values = np.asarray(image)
        return np.ascontiguousarray(
            values[None] if num_channels == 1 else values.transpose(2, 0, 1)
        )


def decode_image(data: bytes, max_pixels: int) -> Picture:
    """Return the picture in a file; its size is checked before anything is decoded.

    Raises:
        ImageTooLargeError: It has more than ``max_pixels``.
        ImageError: It is no image, damaged, animated, or of numbers that are no pixels.
    """
    with _decoding():
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > max_pixels:
            raise ImageTooLargeError(
                f"has {image.width}x{image.height} pixels, at most {max_pixels}"
            )
        # The second picture of an MPO is the camera's own: a preview, or what the other eye saw.
        if image.format != "MPO" and getattr(image, "is_animated", False):
            raise ImageError("is animated; a sample is one picture")
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        is_transparent = _is_transparent(image)
        is_deep, image = _to_bytes(image)
        mode = "L" if image.mode in _GREY else "RGB"
        if image.mode != mode:
            image = image.convert(mode)
        if turn is not None:
            image = image.transpose(turn)
    return Picture(image, turn is not None, is_deep, is_transparent)


def _to_bytes(image: Image.Image) -> tuple[bool, Image.Image]:
    """Return whether an image has 16 bits of grey, and the image with 8: `convert` would clip."""
    # Pillow opens a .pgm of 16 bits with 32, its values spread over 16.
    if image.mode in _DEEP or (image.mode == "I" and image.format == "PPM"):
        return True, Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in {"I", "F"}:
        raise ImageError("has 32 bits a value; images of 8 or 16 bits are accepted")
    return False, image


def _is_transparent(image: Image.Image) -> bool:
    if image.mode in _WITH_ALPHA:  # screenshots have the channel, and nothing in it
        low, _ = image.getchannel("A").getextrema()
        return int(low) < _OPAQUE  # type: ignore[arg-type]  # one band has one pair of numbers
    return "transparency" in image.info


def _orientation(image: Image.Image) -> int:
    """Return which way up the camera was held, 1 to 8; what cannot be read says nothing."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  # Pillow's parser raises whatever damaged bytes lead it to
        return 1


@contextmanager
def _decoding() -> Iterator[None]:
    """Say in our words what Pillow says.

    Raises:
        ImageError: It cannot decode the image.
    """
    try:
        with warnings.catch_warnings():
            # Of large images, which our own limit refuses, and of EXIF data that are damaged.
            warnings.simplefilter("ignore")
            yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # its decoders raise whatever damaged bytes lead them to
        raise ImageError("cannot be decoded") from error
