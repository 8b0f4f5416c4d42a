"""Image files to network inputs, decoded like training data and preprocessed for the model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.contracts.errors import InvalidInputError, TooLargeError
from app.contracts.images import ImageError, ImageTooLargeError, decode_image
from app.contracts.spec import PreprocessSpec
from app.inference.tensors import TensorSpec

_IMAGE_RANK = 4
_CHANNELS = frozenset({1, 3})
_BYTE_SCALE = 1 / 255
_MOST = "PNG, JPEG, WebP, BMP, GIF, TIFF and PPM are accepted"


def decode_images(
    files: Sequence[bytes], spec: TensorSpec, preprocess: PreprocessSpec, max_pixels: int
) -> NDArray[np.float32]:
    """Return (N, C, H, W) network inputs for encoded images.

    Raises:
        TooLargeError: An image has more than ``max_pixels``.
        InvalidInputError: A file is not an image, or the model does not take images.
    """
    if len(spec.shape) != _IMAGE_RANK or spec.shape[1] not in _CHANNELS:
        shape = ["batch" if size is None else size for size in spec.shape]
        raise InvalidInputError(f"the model takes {shape}, which is not a grey or RGB image")
    num_channels, *sides = spec.shape[1:]
    assert num_channels is not None  # noqa: S101  # one of `_CHANNELS`
    # Resize like the data set's images: by the preprocessing if the network takes any size.
    wanted = preprocess.resize or (None, None)
    height, width = (
        side if side is not None else given for side, given in zip(sides, wanted, strict=True)
    )
    decoded, num_pixels = [], 0
    for file in files:
        decoded.append(_decode(file, num_channels, height, width, max_pixels))
        num_pixels += decoded[-1].shape[1] * decoded[-1].shape[2]
        if (height is None or width is None) and num_pixels > max_pixels:
            raise TooLargeError(f"the images have more than {max_pixels} pixels in total")
    if len({image.shape for image in decoded}) > 1:
        raise InvalidInputError("the images differ in size: send images of one size per request")
    pixels = np.stack(decoded)
    scale = np.float32(_BYTE_SCALE if preprocess.scale is None else preprocess.scale)
    mean = np.array(preprocess.mean, np.float32).reshape(1, -1, 1, 1)
    std = np.array(preprocess.std, np.float32).reshape(1, -1, 1, 1)
    if mean.shape[1] not in {1, num_channels}:
        raise InvalidInputError(f"preprocess has {mean.shape[1]} means for {num_channels} channels")
    scaled: NDArray[np.float32] = (pixels.astype(np.float32) * scale - mean) / std
    return scaled


def _decode(
    data: bytes, num_channels: int, height: int | None, width: int | None, max_pixels: int
) -> NDArray[np.uint8]:
    try:
        picture = decode_image(data, max_pixels)
    except ImageTooLargeError as error:
        raise TooLargeError(f"the image {error}") from error
    except ImageError as error:
        raise InvalidInputError(f"the image {error} ({_MOST})") from error
    size = (height or picture.size[0], width or picture.size[1])
    return picture.pixels(num_channels, size)
