"""Image files: decoded one by one to the size and colours asked for, appended to one file."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.contracts.settings import LimitSettings
from app.contracts.spec import PreprocessSpec
from worker.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.rows import RowFile, Rows

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MODES = {1: "L", 3: "RGB"}
_IMAGE_RANK = 3


@dataclass(frozen=True)
class ImageTarget:
    """What images are decoded to.

    Attributes:
        preprocess: Its size and colours come first.
        limits: What an image, and all of them, may take.
        image_shape: (C, H, W) that the network takes; comes second.
    """

    preprocess: PreprocessSpec
    limits: LimitSettings
    image_shape: tuple[int, ...] | None

    def shape(self, first: Image.Image) -> tuple[int, int, int]:
        """Return (C, H, W): from the spec, else from the network, else from the first image.

        Raises:
            DataError: The network takes something that no image gives.
        """
        channels = 1 if first.mode in {"1", "L", "I;16"} else 3
        size = (first.height, first.width)
        if self.image_shape is not None and len(self.image_shape) == _IMAGE_RANK:
            channels, size = self.image_shape[0], (self.image_shape[1], self.image_shape[2])
        if self.preprocess.channels is not None:
            channels = 1 if self.preprocess.channels == "grey" else 3
        if self.preprocess.resize is not None:
            size = self.preprocess.resize
        if channels not in _MODES:
            raise DataError(f"the network takes {channels} channels; images give 1 or 3")
        return (channels, *size)


def decode_images(
    files: Iterable[tuple[str, bytes]], num_images: int, target: ImageTarget, path: Path
) -> Rows:
    """Decode images into ``path``, one at a time, and return them as samples.

    Args:
        files: Name, for messages, and content of each image.
        num_images: How many there are; counted.
        target: What they are decoded to.
        path: Written to.

    Raises:
        DataError: One is no image.
        DataTooLargeError: One is too large, or all of them together are.
    """
    shape: tuple[int, int, int] | None = None
    num_rows = 0
    with path.open("wb") as out:
        for name, data in files:
            if num_rows == num_images:
                raise DataError(f"the data set has more images than the {num_images} it says")
            with _open(name, data, target.limits.image_pixels) as image:
                if shape is None:
                    shape = target.shape(image)
                    _check_total(num_images, shape, target.limits)
                out.write(_pixels(name, image, shape).data)
            num_rows += 1
    if shape is None or num_rows != num_images:
        raise DataError(f"the data set has {num_rows} images and says it has {num_images}")
    return Rows([RowFile(path, 0, num_rows, shape, np.dtype(np.uint8))])


def _check_total(num_images: int, shape: tuple[int, int, int], limits: LimitSettings) -> None:
    total = num_images * prod(shape)
    if num_images > limits.samples or total > limits.unpacked_bytes:
        raise DataTooLargeError(
            f"{num_images} images of shape {list(shape)} take {total} bytes, at most "
            f"{limits.unpacked_bytes} and {limits.samples} images are accepted"
        )
    if prod(shape) > limits.sample_values:
        raise DataTooLargeError(
            f"images of shape {list(shape)} have {prod(shape)} values each, at most "
            f"{limits.sample_values}"
        )


def _open(name: str, data: bytes, image_pixels: int) -> Image.Image:
    with _decoding(name):
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if image.width * image.height > image_pixels:
            raise DataTooLargeError(
                f"image {name} has {image.width}x{image.height} pixels, at most {image_pixels}"
            )
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            raise DataError(f"image {name} is animated; a sample is one picture")
        image.load()
    return image


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Say in our words what Pillow says; only its calls belong here.

    Raises:
        DataError: It cannot decode the image.
    """
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:  # its decoders raise whatever damaged bytes lead them to
        raise DataError(f"image {name} cannot be decoded") from error


def _pixels(name: str, image: Image.Image, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    channels, height, width = shape
    with _decoding(name):
        converted = image.convert(_MODES[channels])
        if converted.size != (width, height):
            converted = converted.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(converted)
    return np.ascontiguousarray(pixels[None] if channels == 1 else pixels.transpose(2, 0, 1))
