"""The decoder of image files, shared by training and ``/infer``.

Two decoders could differ in EXIF orientation, in the conversion of 16 bits to 8, or in resizing.
The network would then see other pixels in inference than in training.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.contracts.hostile_images import MAX_SCANS, has_too_many_scans, without_comments
from app.contracts.placement import FILL, Fit, place

# Formats of photographs and scans. Pillow's other formats are disabled: some run programs.
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
_WITH_GREY_ALPHA = frozenset({"LA", "La"})
_GREY = frozenset({"1", "L", "LA", "La"})
_MODES = {1: "L", 3: "RGB"}


class ImageError(ValueError):
    """An image file is refused; the message follows the image's name."""


class ImageTooLargeError(ImageError):
    """An image has more pixels than the limit."""


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        image: Upright, 8 bits per value, grey (``L``) or ``RGB``.
        is_turned: Whether the EXIF orientation was applied.
        is_deep: Whether the file had 16 bits per value; the upper 8 are kept.
        is_transparent: Whether some pixels are transparent; transparency is ignored.
    """

    image: Image.Image
    is_turned: bool = False
    is_deep: bool = False
    is_transparent: bool = False

    @property
    def num_channels(self) -> int:
        """1 for a grey image, else 3."""
        return 1 if self.image.mode == "L" else 3

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.height, self.image.width

    def pixels(
        self, num_channels: int, size: tuple[int, int], fit: Fit = "stretch"
    ) -> NDArray[np.uint8]:
        """Return the pixels as (C, H, W): C is ``num_channels``, 1 or 3; (H, W) is ``size``."""
        image = self.image
        if image.mode != _MODES[num_channels]:
            image = image.convert(_MODES[num_channels])
        place_ = place(self.size, size, fit)
        inner = place_.height, place_.width
        if self.size != inner:
            image = image.resize((inner[1], inner[0]), Image.Resampling.BILINEAR)
        values = np.asarray(image)
        if inner != size:
            whole = np.full((*size, *values.shape[2:]), FILL, np.uint8)
            rows, columns = place_.cut(size, size)
            whole[rows, columns] = values
            values = whole
        return np.ascontiguousarray(
            values[None] if num_channels == 1 else values.transpose(2, 0, 1)
        )


def decode_image(data: bytes, max_pixels: int) -> Picture:
    """Decode an image file; check its size before decoding.

    Raises:
        ImageTooLargeError: The image has more than ``max_pixels`` pixels.
        ImageError: The file is no image, damaged or animated, or has 32 bits per value.
    """
    with _decoding(max_pixels):
        data = without_comments(data)
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > max_pixels:
            raise ImageTooLargeError(
                f"has {image.width}x{image.height} pixels, at most {max_pixels}"
            )
        # The further pictures of an MPO are a preview or the second view of a stereo camera.
        if image.format != "MPO" and getattr(image, "is_animated", False):
            raise ImageError("is animated; only single images are accepted")
        if has_too_many_scans(data):
            raise ImageError(f"has more than {MAX_SCANS} scans; save it again as a JPEG or PNG")
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


def decode_mask(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """Decode a mask: the number of each pixel's class, (H, W), upright.

    Grey values and numbers of palettes are the classes; an RGB image must be grey.

    Raises:
        ImageTooLargeError: The mask has more than ``max_pixels`` pixels.
        ImageError: The file is no image, or its values are not numbers from 0 to 255.
    """
    with _decoding(max_pixels):
        image: Image.Image = Image.open(io.BytesIO(data), formats=("PNG", "BMP", "GIF", "TIFF"))
        if image.width * image.height > max_pixels:
            raise ImageTooLargeError(
                f"has {image.width}x{image.height} pixels, at most {max_pixels}"
            )
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        if turn is not None:
            image = image.transpose(turn)
        if image.mode == "1":
            image = image.convert("L")
        values = np.asarray(image)
        if values.ndim == 3:  # noqa: PLR2004  # with channels
            values = values[..., : 1 if image.mode in _WITH_GREY_ALPHA else 3]
            if (values != values[..., :1]).any():
                raise ImageError(
                    "is a colour image; a mask holds the number of each pixel's class, as grey "
                    "values or a palette"
                )
            values = values[..., 0]
        if values.size and (values.min() < 0 or values.max() > _OPAQUE):
            raise ImageError("has values above 255; classes are numbers from 0 to 254")
    return np.ascontiguousarray(values.astype(np.uint8))


def _to_bytes(image: Image.Image) -> tuple[bool, Image.Image]:
    """Return whether an image has 16 bits per value, and the image with 8; `convert` would clip."""
    # Pillow opens a 16-bit .pgm with 32 bits and values in the 16-bit range.
    if image.mode in _DEEP or (image.mode == "I" and image.format == "PPM"):
        return True, Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in {"I", "F"}:
        raise ImageError("has 32 bits per value; images of 8 or 16 bits are accepted")
    return False, image


def _is_transparent(image: Image.Image) -> bool:
    if image.mode in _WITH_ALPHA:  # screenshots have an opaque alpha channel
        low, _ = image.getchannel("A").getextrema()
        return int(low) < _OPAQUE  # type: ignore[arg-type]  # one band has one pair of numbers
    return "transparency" in image.info


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if it cannot be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  # damaged bytes make Pillow's parser raise errors of any type
        return 1


@contextmanager
def _decoding(max_pixels: int) -> Iterator[None]:
    """Translate Pillow's errors.

    Raises:
        ImageTooLargeError: Pillow refused the size before ours was checked.
        ImageError: Pillow cannot decode the image.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns about large images, which our own limit refuses, and damaged EXIF data.
            warnings.simplefilter("ignore")
            yield
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        refused = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ImageTooLargeError(
            f"has more than {refused} pixels, at most {min(max_pixels, refused)}"
        ) from error
    except Exception as error:  # damaged bytes make the decoders raise errors of any type
        raise ImageError("cannot be decoded") from error
