"""Encodes and decodes arrays: ``.npy`` for one, the Open Inference Protocol for several by name."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secateur.core.steps import Answer
from secateur.errors import SecateurError, UnexpectedAnswerError
from secateur.types import ModelMetadata, TensorMetadata

Array = NDArray[Any]

_LENGTH = "inference-header-content-length"
# The protocol's type names; binary data are little-endian. numpy has no BF16 and no BYTES.
_DTYPES: Mapping[str, "np.dtype[Any]"] = {
    "BOOL": np.dtype("bool"),
    **{f"UINT{bits}": np.dtype(f"uint{bits}").newbyteorder("<") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"int{bits}").newbyteorder("<") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"float{bits}").newbyteorder("<") for bits in (16, 32, 64)},
}


def to_npy(x: object) -> bytes:
    """Return an array, or anything `numpy.asarray` accepts, as a ``.npy`` file.

    Raises:
        SecateurError: The array does not contain numbers.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise SecateurError(f"the input has the type {array.dtype}; numbers are expected")
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def from_npy(data: bytes) -> Array:
    """Return the array of a ``.npy`` file.

    Raises:
        UnexpectedAnswerError: The data are not a ``.npy`` file.
    """
    try:
        array: Array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UnexpectedAnswerError(f"the response is not a .npy file: {error}") from error
    return array


def encode_tensors(
    inputs: Mapping[str, object], about: ModelMetadata, parameters: Mapping[str, Any]
) -> tuple[bytes, dict[str, str]]:
    """Return a body of the protocol, and the header with the length of its JSON.

    Raises:
        SecateurError: The names are not the model's inputs, or a type cannot be converted.
    """
    specs = {spec.name: spec for spec in about.inputs}
    if inputs.keys() != specs.keys():
        raise SecateurError(f"{about.name} takes inputs {sorted(specs)}, not {sorted(inputs)}")
    tensors, tail = [], []
    for name, spec in specs.items():
        array = _as_type(name, np.asarray(inputs[name]), dtype_of(spec))
        data = array.tobytes()
        tail.append(data)
        tensors.append(
            {
                "name": name,
                "datatype": spec.datatype,
                "shape": array.shape,
                "parameters": {"binary_data_size": len(data)},
            }
        )
    head = json.dumps(
        {"inputs": tensors, "parameters": {"binary_data_output": True, **parameters}}
    ).encode()
    return b"".join((head, *tail)), {_LENGTH: str(len(head))}


def decode_tensors(answer: Answer) -> dict[str, Array]:
    """Return the outputs of a response by name.

    Raises:
        UnexpectedAnswerError: The response does not follow the protocol.
    """
    try:
        end = int(answer.headers[_LENGTH])
        rest = memoryview(answer.body)[end:]
        found: dict[str, Array] = {}
        for tensor in json.loads(answer.body[:end])["outputs"]:
            size = tensor["parameters"]["binary_data_size"]
            values = np.frombuffer(rest[:size], _DTYPES[tensor["datatype"]])
            found[tensor["name"]] = values.reshape(tensor["shape"]).copy()
            rest = rest[size:]
    except (KeyError, ValueError, TypeError) as error:
        raise UnexpectedAnswerError(
            f"the response does not follow the Open Inference Protocol: {error!r}"
        ) from error
    return found


def from_lists(outputs: object, about: Sequence[TensorMetadata]) -> "Array | dict[str, Array]":
    """Return JSON outputs as arrays of the model's output types; null becomes NaN."""
    if isinstance(outputs, dict):
        specs = {spec.name: spec for spec in about}
        return {name: np.array(v, dtype_of(specs[name])) for name, v in outputs.items()}
    return np.array(outputs, dtype_of(about[0]))


def dtype_of(spec: TensorMetadata) -> "np.dtype[Any]":
    """Return the numpy type of a tensor.

    Raises:
        SecateurError: numpy has no such type.
    """
    if spec.datatype not in _DTYPES:
        raise SecateurError(
            f"{spec.name!r} has the type {spec.datatype}, which numpy lacks: use tritonclient"
        )
    return _DTYPES[spec.datatype]


def _as_type(name: str, array: Array, dtype: "np.dtype[Any]") -> Array:
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise SecateurError(f"input {name!r} takes {dtype}, not {array.dtype}")
    return np.ascontiguousarray(array, dtype)
