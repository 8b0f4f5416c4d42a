"""Image files: decoded one by one to the size and colours asked for, appended to one file.

`app.contracts.images` decodes them, as it does for ``/infer``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from app.contracts.images import ImageError, ImageTooLargeError, Picture, decode_image
from app.contracts.settings import LimitSettings
from app.contracts.spec import PreprocessSpec
from secateur.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.rows import RowFile, Rows

_CHANNELS = frozenset({1, 3})
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

    @property
    def is_size_given(self) -> bool:
        """Whether the size is known without an image."""
        is_known = self.image_shape is not None and len(self.image_shape) == _IMAGE_RANK
        return is_known or self.preprocess.resize is not None

    def shape(self, first: Picture) -> tuple[int, int, int]:
        """Return (C, H, W): from the spec, else from the network, else from the first image.

        Raises:
            DataError: The network takes something that no image gives.
        """
        channels, size = first.num_channels, first.size
        if self.image_shape is not None and len(self.image_shape) == _IMAGE_RANK:
            channels, size = self.image_shape[0], (self.image_shape[1], self.image_shape[2])
        if self.preprocess.channels is not None:
            channels = 1 if self.preprocess.channels == "grey" else 3
        if self.preprocess.resize is not None:
            size = self.preprocess.resize
        if channels not in _CHANNELS:
            raise DataError(f"the network takes {channels} channels; images give 1 or 3")
        return (channels, *size)


def decode_images(
    files: Iterable[tuple[str, bytes]], num_images: int, target: ImageTarget, path: Path
) -> tuple[Rows, tuple[str, ...]]:
    """Decode images into ``path``, one at a time; return them as samples, and notes about them.

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
    num_rows, oddities = 0, _Oddities()
    with path.open("wb") as out:
        for name, data in files:
            if num_rows == num_images:
                raise DataError(f"the data set has more images than the {num_images} it says")
            picture = _decoded(name, data, target.limits.image_pixels)
            if shape is None:
                shape = target.shape(picture)
                _check_total(num_images, shape, target.limits)
            oddities.add(picture)
            out.write(picture.pixels(shape[0], shape[1:]).data)
            num_rows += 1
    if shape is None or num_rows != num_images:
        raise DataError(f"the data set has {num_rows} images and says it has {num_images}")
    rows = Rows([RowFile(path, 0, num_rows, shape, np.dtype(np.uint8))])
    return rows, oddities.notes(shape, is_given=target.is_size_given)


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


@dataclass
class _Oddities:
    """How many images were of each kind that a user should know about."""

    num_turned: int = 0
    num_deep: int = 0
    num_transparent: int = 0
    sizes: set[tuple[int, int]] = field(default_factory=set)

    def add(self, picture: Picture) -> None:
        self.num_turned += picture.is_turned
        self.num_deep += picture.is_deep
        self.num_transparent += picture.is_transparent
        if len(self.sizes) < 2:  # noqa: PLR2004  # whether there are several
            self.sizes.add(picture.size)

    def notes(self, shape: tuple[int, int, int], *, is_given: bool) -> tuple[str, ...]:
        found = []
        if self.num_turned:
            found.append(
                f"{_count(self.num_turned)} turned upright, as the EXIF data of the camera say; "
                "/infer does the same, many training scripts do not"
            )
        if self.num_deep:
            found.append(
                f"{_count(self.num_deep)} reduced from 16 bits a value to 8: the upper 8 are kept, "
                "so what fills only the lower ones is dark"
            )
        if self.num_transparent:
            found.append(f"{_count(self.num_transparent)} transparent in places, which is ignored")
        if len(self.sizes) > 1 and not is_given:
            found.append(
                f"the images have different sizes; they are resized to {shape[1]}x{shape[2]}, that "
                "of the first, unless the network or 'resize' in the preprocessing says another"
            )
        return tuple(found)


def _count(number: int) -> str:
    return "1 image is" if number == 1 else f"{number} images are"


def _decoded(name: str, data: bytes, max_pixels: int) -> Picture:
    try:
        return decode_image(data, max_pixels)
    except ImageTooLargeError as error:
        raise DataTooLargeError(f"image {name} {error}") from error
    except ImageError as error:
        raise DataError(f"image {name} {error}") from error
