"""Image files to network inputs, decoded like training data and preprocessed for the model."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from app.contracts.errors import InvalidInputError, TooLargeError
from app.contracts.images import ImageError, ImageTooLargeError, Picture, decode_image
from app.contracts.spec import PreprocessSpec
from app.serving.description import TensorSpec
from app.serving.memory import given_back_in_steps

_IMAGE_RANK = 4
_CHANNELS = frozenset({1, 3})
_MOST_PIXELS = 16  # of all images of a request, times those of one
_BYTE_SCALE = 1 / 255
_MOST = "PNG, JPEG, WebP, BMP, GIF, TIFF and PPM are accepted"


def decode_images(
    files: Sequence[bytes],
    spec: TensorSpec,
    preprocess: PreprocessSpec,
    max_pixels: int,
    max_bytes: int = 2**63,
    is_stopped: Callable[[], bool] = lambda: False,
) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    """Return (N, C, H, W) network inputs for encoded images, and the images' heights and widths.

    Args:
        files: Encoded images.
        spec: The network's input.
        preprocess: How pixels become numbers.
        max_pixels: Most pixels of an image, and of all images if the network takes any size.
        max_bytes: Most memory of the inputs, for all images.
        is_stopped: Whether to give up; asked before each image.

    Raises:
        TooLargeError: An image has more than ``max_pixels``, all have more than sixteen times as
            many, the inputs exceed ``max_bytes``, or decoding was stopped.
        InvalidInputError: A file is not an image, or the model does not take images.
    """
    if len(spec.shape) != _IMAGE_RANK or spec.shape[1] not in _CHANNELS:
        shape = ["batch" if size is None else size for size in spec.shape]
        raise InvalidInputError(f"the model takes {shape}, which is not a grey or RGB image")
    num_channels, *sides = spec.shape[1:]
    assert num_channels is not None  # noqa: S101  # one of `_CHANNELS`
    scale = np.float32(_BYTE_SCALE if preprocess.scale is None else preprocess.scale)
    mean = np.array(preprocess.mean, np.float32).reshape(-1, 1, 1)
    std = np.array(preprocess.std, np.float32).reshape(-1, 1, 1)
    if mean.shape[0] not in {1, num_channels}:
        raise InvalidInputError(f"preprocess has {mean.shape[0]} means for {num_channels} channels")
    # Resize like the data set's images: by the preprocessing if the network takes any size.
    wanted = preprocess.resize or (None, None)
    height, width = (
        side if side is not None else given for side, given in zip(sides, wanted, strict=True)
    )
    inputs: NDArray[np.float32] | None = None
    own_sizes: list[tuple[int, int]] = []
    if height is not None and width is not None:
        inputs = _allocate((len(files), num_channels, height, width), max_bytes)
    left = _MOST_PIXELS * max_pixels  # decoding takes time whatever the size becomes
    for number, file in enumerate(files):
        if is_stopped():
            raise TooLargeError("decoding the images takes too long: send fewer per request")
        picture = _decode(file, max_pixels)
        left -= picture.size[0] * picture.size[1]
        if left < 0:
            raise TooLargeError(
                f"the images have more than {_MOST_PIXELS * max_pixels} pixels in total, which is "
                "the limit: send fewer per request"
            )
        size = (height or picture.size[0], width or picture.size[1])
        pixels = picture.pixels(num_channels, size, preprocess.fit or "stretch")
        own_sizes.append(picture.size)
        if inputs is None:
            num_pixels = len(files) * pixels.shape[1] * pixels.shape[2]
            if num_pixels > max_pixels:
                raise TooLargeError(
                    f"the images have {num_pixels} pixels in total, at most {max_pixels} are "
                    "allowed: send fewer per request"
                )
            inputs = _allocate((len(files), *pixels.shape), max_bytes)
        if pixels.shape != inputs.shape[1:]:
            raise InvalidInputError("the images differ in size: send images of one size a request")
        # In place, one image at a time: temporaries of all images would take three times as much.
        image = inputs[number]
        image[...] = pixels
        image *= scale
        image -= mean
        image /= std
    assert inputs is not None  # noqa: S101  # a form without images is refused before
    return inputs, own_sizes


def _allocate(shape: tuple[int, ...], max_bytes: int) -> NDArray[np.float32]:
    num_bytes = prod(shape) * np.dtype(np.float32).itemsize
    if num_bytes > max_bytes:
        raise TooLargeError(
            f"the images become {num_bytes} bytes of network inputs {list(shape)}, at most "
            f"{max_bytes} are allowed: send fewer per request"
        )
    return given_back_in_steps(np.empty(shape, np.float32))


def _decode(data: bytes, max_pixels: int) -> Picture:
    try:
        return decode_image(data, max_pixels)
    except ImageTooLargeError as error:
        raise TooLargeError(f"the image {error}") from error
    except ImageError as error:
        raise InvalidInputError(f"the image {error} ({_MOST})") from error
