"""Image files to arrays: size checked before decoding, the model's own preprocessing applied."""

import io
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from app.contracts.errors import InvalidInputError, TooLargeError
from app.contracts.spec import PreprocessSpec
from app.inference.tensors import TensorSpec

_FORMATS = ("PNG", "JPEG", "WEBP")
_IMAGE_RANK = 4
_MODES = {1: "L", 3: "RGB"}
_BYTE_SCALE = 1 / 255


def decode_images(
    files: Sequence[bytes], spec: TensorSpec, preprocess: PreprocessSpec, max_pixels: int
) -> NDArray[np.float32]:
    """Return (N, C, H, W) network inputs for encoded images.

    Raises:
        TooLargeError: An image has more than ``max_pixels``.
        InvalidInputError: A file is no image, or the model takes no images.
    """
    if len(spec.shape) != _IMAGE_RANK or spec.shape[1] not in _MODES:
        shape = ["batch" if size is None else size for size in spec.shape]
        raise InvalidInputError(f"the model takes {shape}, which is no grey or RGB image")
    channels, height, width = spec.shape[1:]
    mode = _MODES[spec.shape[1] or 0]
    decoded, num_pixels = [], 0
    for file in files:
        decoded.append(_decode(file, mode, height, width, max_pixels))
        num_pixels += decoded[-1].shape[1] * decoded[-1].shape[2]
        if (height is None or width is None) and num_pixels > max_pixels:
            raise TooLargeError(f"the images have more than {max_pixels} pixels together")
    if len({image.shape for image in decoded}) > 1:
        raise InvalidInputError("the model takes any size, but one size a request")
    pixels = np.stack(decoded)
    scale = np.float32(_BYTE_SCALE if preprocess.scale is None else preprocess.scale)
    mean = np.array(preprocess.mean, np.float32).reshape(1, -1, 1, 1)
    std = np.array(preprocess.std, np.float32).reshape(1, -1, 1, 1)
    if mean.shape[1] not in {1, channels}:
        raise InvalidInputError(f"preprocess has {mean.shape[1]} means for {channels} channels")
    scaled: NDArray[np.float32] = (pixels.astype(np.float32) * scale - mean) / std
    return scaled


def _decode(
    data: bytes, mode: str, height: int | None, width: int | None, max_pixels: int
) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large images are refused below, by our own limit
            image: Image.Image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if image.width * image.height > max_pixels:
            raise TooLargeError(
                f"the image has {image.width}x{image.height} pixels, at most {max_pixels}"
            )
        if image.mode.startswith("I;16"):  # sixteen bits of grey, which `convert` would cut off
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        # As a viewer shows it: a camera says in the file which way up it was held. Transparency is
        # ignored, as it is where networks are trained.
        image = ImageOps.exif_transpose(image).convert(mode)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidInputError("the file is not a PNG, JPEG or WebP image") from error
    size = (width or image.width, height or image.height)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)
