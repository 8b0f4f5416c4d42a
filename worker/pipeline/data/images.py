"""Image files, decoded one by one to the requested size and colours and appended to one file.

`app.contracts.images` does the decoding, for ``/infer`` too.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from app.contracts.images import ImageError, ImageTooLargeError, Picture, decode_image
from app.contracts.placement import Placement, place
from app.contracts.settings import LimitSettings
from app.contracts.spec import PreprocessSpec
from secateur.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.rows import RowFile, Rows

_CHANNELS = frozenset({1, 3})
_IMAGE_RANK = 3


@dataclass(frozen=True)
class ImageTarget:
    """Size and colours that images are decoded to.

    Attributes:
        preprocess: Its size and colours take precedence.
        limits: Size limits for each image and for all of them.
        image_shape: The network's input shape (C, H, W), used where ``preprocess`` is silent.
        task: The task in the job's config, for annotations that serve several; "auto" if it names
            none.
    """

    preprocess: PreprocessSpec
    limits: LimitSettings
    image_shape: tuple[int, ...] | None
    task: str = "auto"

    @property
    def is_size_given(self) -> bool:
        """True if the size is known before the first image is read."""
        is_known = self.image_shape is not None and len(self.image_shape) == _IMAGE_RANK
        return is_known or self.preprocess.resize is not None

    def shape(self, first: Picture) -> tuple[int, int, int]:
        """Return (C, H, W): from the spec, else from the network, else from the first image.

        Raises:
            DataError: The network takes a number of channels that images do not have.
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


OnImage = Callable[[int, Placement, tuple[int, int]], None]
"""Function of an image's number, its place in the input, and the input's height and width."""


def decode_images(
    files: Iterable[tuple[str, bytes]],
    num_images: int,
    target: ImageTarget,
    path: Path,
    on_image: OnImage | None = None,
) -> tuple[Rows, tuple[str, ...]]:
    """Decode images into ``path``, one at a time; return them as samples, with notes about them.

    Args:
        files: Name (for messages) and content of each image.
        num_images: Expected number of images; verified.
        target: Size and colours to decode to.
        path: File to write.
        on_image: Called after each image.

    Raises:
        DataError: An image cannot be decoded, or their number is wrong.
        DataTooLargeError: One image, or all of them together, exceed a limit.
    """
    shape: tuple[int, int, int] | None = None
    fit = target.preprocess.fit or "stretch"
    num_rows, oddities = 0, _Oddities()
    with path.open("wb") as out:
        for name, data in files:
            if num_rows == num_images:
                raise DataError(f"the data set has more images than the {num_images} it declares")
            picture = _decoded(name, data, target.limits.image_pixels)
            if shape is None:
                shape = target.shape(picture)
                _check_total(num_images, shape, target.limits)
            oddities.add(picture)
            out.write(picture.pixels(shape[0], shape[1:], fit).data)
            if on_image is not None:
                on_image(num_rows, place(picture.size, shape[1:], fit), shape[1:])
            num_rows += 1
    if shape is None or num_rows != num_images:
        raise DataError(f"the data set has {num_rows} images but declares {num_images}")
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
    """Counts of images that a user should know about."""

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
                f"{_count(self.num_turned)} rotated upright, following their EXIF data; /infer "
                "does the same, but many training scripts do not"
            )
        if self.num_deep:
            found.append(
                f"{_count(self.num_deep)} reduced from 16 bits per value to the upper 8: images "
                "that only use the lower bits turn dark"
            )
        if self.num_transparent:
            found.append(f"{_count(self.num_transparent)} partly transparent; the alpha is ignored")
        if len(self.sizes) > 1 and not is_given:
            found.append(
                f"the images have different sizes; they are resized to {shape[1]}x{shape[2]}, the "
                "size of the first, unless the network or 'resize' in the preprocessing sets one"
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
