"""Arrays to and from ONNX Runtime's values, for the type that numpy lacks."""

import ctypes
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from app.serving.bfloat16 import from_bits, to_bits
from app.serving.description import BFLOAT16

_ELEMENT_TYPE = 16  # TensorProto.BFLOAT16


def to_value(dtype: str, values: NDArray[Any]) -> ort.OrtValue:
    """Return an array as the session input of type ``dtype``."""
    if dtype != BFLOAT16:
        return ort.OrtValue.ortvalue_from_numpy(values)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(to_bits(values), _ELEMENT_TYPE)


def to_array(dtype: str, value: Any) -> NDArray[Any]:  # noqa: ANN401  # an untyped library
    """Return a session output of type ``dtype`` as an array."""
    if dtype != BFLOAT16:
        return np.asarray(value.numpy())
    data = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return from_bits(np.frombuffer(data, np.uint16).reshape(value.shape()))
