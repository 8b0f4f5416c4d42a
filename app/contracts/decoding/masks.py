"""Read a segmenter's outputs as the class of every pixel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_RANK = 4


def is_mask_shape(shape: tuple[int, ...]) -> bool:
    """Return whether an output's shape is (N, classes, height, width), as segmenters have."""
    return len(shape) == _RANK and min(shape[2:]) > 1


def decode_masks(output: NDArray[Any], threshold: float) -> NDArray[np.uint8]:
    """Return the classes (N, H, W) of scores (N, C, H, W).

    With a single channel, a score above ``threshold`` is class 1.
    """
    if output.shape[1] == 1:
        found: NDArray[np.uint8] = (output[:, 0] > threshold).astype(np.uint8)
    else:
        found = output.argmax(1).astype(np.uint8)
    return found
