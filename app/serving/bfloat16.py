"""BF16 conversions. numpy has no such type, and ONNX Runtime exchanges it only as `OrtValue`.

Between the protocol and the session, values are float32. The upper half of the float32 is the BF16
number, so the conversion is exact.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.serving.description import BFLOAT16, TensorSpec

_UPPER_HALF = 16


def from_bits(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the numbers that the bit patterns encode."""
    numbers: NDArray[np.float32] = (bits.astype(np.uint32) << _UPPER_HALF).view(np.float32)
    return numbers


def round_to_bfloat16(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Round float32 numbers to the nearest BF16, ties to even."""
    whole = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    half = np.uint32(0x7FFF) + ((whole >> np.uint32(_UPPER_HALF)) & np.uint32(1))
    rounded: NDArray[np.float32] = ((whole + half) & np.uint32(0xFFFF0000)).view(np.float32)
    return rounded


def as_type(spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    """Convert numbers to the type of an input."""
    if spec.dtype == BFLOAT16:
        return round_to_bfloat16(array)
    return array.astype(spec.dtype, copy=False)


def to_bits(numbers: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the bit patterns of float32 numbers already rounded to BF16."""
    whole = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    return (whole >> _UPPER_HALF).astype(np.uint16)
