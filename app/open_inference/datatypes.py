"""The protocol's datatypes as arrays, bytes and JSON.

Numbers are little-endian and row-major. BF16 has no array type and is held as float32. BYTES are
text, since ONNX strings are UTF-8: a length of 4 bytes, then the text.
"""

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contracts.errors import InvalidInputError
from app.inference.tensors import are_finite
from app.serving import description
from app.serving.bfloat16 import from_bits, to_bits
from app.serving.description import BFLOAT16

BYTES = "BYTES"
Array = NDArray[Any]

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Datatype:
    """Wire format of a tensor's values.

    Attributes:
        name: Name in the protocol.
        spec: Name in `TensorSpec.dtype`.
        dtype: numpy type of the bytes and, except for BF16, of arrays.
        code: Type code of `array.array`, which converts lists fast and strictly; None: not in JSON.
    """

    name: str
    spec: str
    dtype: np.dtype[Any]
    code: str | None


def _number(name: str, spec: str, code: str | None) -> Datatype:
    dtype = np.dtype("uint16" if spec == BFLOAT16 else spec).newbyteorder("<")
    return Datatype(name, spec, dtype, code)


DATATYPES = {
    datatype.name: datatype
    for datatype in (
        _number("BOOL", "bool", None),
        _number("UINT8", "uint8", "B"),
        _number("UINT16", "uint16", "H"),
        _number("UINT32", "uint32", "I"),
        _number("UINT64", "uint64", "Q"),
        _number("INT8", "int8", "b"),
        _number("INT16", "int16", "h"),
        _number("INT32", "int32", "i"),
        _number("INT64", "int64", "q"),
        _number("FP16", "float16", None),
        _number("FP32", "float32", "f"),
        _number("FP64", "float64", "d"),
        _number("BF16", BFLOAT16, None),
        Datatype(BYTES, description.BYTES, np.dtype(object), None),
    )
}
_BY_SPEC = {datatype.spec: datatype for datatype in DATATYPES.values()}
_BINARY_ONLY = {"FP16", "BF16"}


def datatype_of(spec: description.TensorSpec) -> Datatype:
    """Return the datatype of a model's input or output.

    Raises:
        InvalidInputError: The protocol has no such datatype, as for complex numbers.
    """
    found = _BY_SPEC.get(spec.dtype)
    if found is None:
        raise InvalidInputError(f"{spec.name!r} has type {spec.dtype}, which no datatype can hold")
    return found


def from_binary(datatype: Datatype, buffer: memoryview, shape: tuple[int, ...]) -> Array:
    """Return the array that the bytes hold, sharing their memory where possible.

    Raises:
        InvalidInputError: The length does not fit the shape, or a value does not fit the type.
    """
    count = count_items(shape)
    if datatype.name == BYTES:
        return _split_texts(buffer, count).reshape(shape)
    expected = count * datatype.dtype.itemsize
    if len(buffer) != expected:
        raise InvalidInputError(
            f"{len(buffer)} bytes of binary data, but shape {list(shape)} of {datatype.name} "
            f"needs {expected}"
        )
    if datatype.name == "BOOL" and np.frombuffer(buffer, np.uint8).max(initial=0) > 1:
        raise InvalidInputError("a BOOL is a byte of 0 or 1")
    values: Array = np.frombuffer(buffer, datatype.dtype).reshape(shape)
    if datatype.spec == BFLOAT16:
        return from_bits(values)
    if values.flags.aligned:
        return values
    # Not `copy`: there numpy releases the interpreter lock, and a small request waits for it.
    return np.frombuffer(bytes(buffer), datatype.dtype).reshape(shape)


def from_json(datatype: Datatype, data: Any, shape: tuple[int, ...]) -> Array:  # noqa: ANN401  # JSON
    """Return the array of a flat or nested list.

    Raises:
        InvalidInputError: The list does not fit the shape, or a value does not fit the type.
    """
    if datatype.name in _BINARY_ONLY:
        raise InvalidInputError(f"{datatype.name} travels as binary data only")
    flat = _flatten(data, shape)
    if datatype.name == "BOOL":
        if set(map(type, flat)) - {bool}:
            raise InvalidInputError("BOOL data must be true or false")
        return np.array(flat, np.bool_).reshape(shape)
    if datatype.name == BYTES:
        return _texts(flat).reshape(shape)
    assert datatype.code is not None  # noqa: S101  # the others have one
    try:
        values: Array = np.frombuffer(array(datatype.code, flat), datatype.dtype)
    except (TypeError, OverflowError) as error:
        raise InvalidInputError(f"data is not {datatype.name}: {error}") from error
    if datatype.dtype.kind == "f" and not are_finite(values):
        raise InvalidInputError(f"data has values that are not finite in {datatype.name}")
    return values.reshape(shape)


def to_binary(datatype: Datatype, values: Array) -> bytes:
    """Return the bytes of an array."""
    if datatype.spec == BFLOAT16:
        return to_bits(values).tobytes()
    if datatype.name != BYTES:
        return np.ascontiguousarray(values, datatype.dtype).tobytes()
    texts = [_encode(text) for text in values.ravel().tolist()]
    return b"".join(chain.from_iterable((_LENGTH.pack(len(text)), text) for text in texts))


def to_json(datatype: Datatype, values: Array) -> Array | Sequence[str]:
    """Return a flat list, or an array that `orjson` writes as a flat list.

    Raises:
        InvalidInputError: JSON cannot hold the values.
    """
    if datatype.name in _BINARY_ONLY:
        raise InvalidInputError(f"{datatype.name} travels as binary data only: ask for binary_data")
    if datatype.name == BYTES:
        return [_encode(text).decode() for text in values.ravel().tolist()]
    if datatype.dtype.kind == "f" and not are_finite(values):
        raise InvalidInputError("JSON has no NaN and no infinity: ask for binary_data")
    return np.ascontiguousarray(values).ravel()


def count_items(shape: Sequence[int]) -> int:
    """Return the product of the dimensions. Python's integers cannot overflow."""
    count = 1
    for size in shape:
        count *= size
    return count


def _flatten(data: Any, shape: tuple[int, ...]) -> list[Any]:  # noqa: ANN401  # JSON
    if type(data) is not list:
        raise InvalidInputError("data must be a list")
    level: list[Any] = data
    if len(shape) > 1 and level and type(level[0]) is list:
        if len(level) != shape[0]:
            raise _misshapen(shape)
        for size in shape[1:]:
            if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
                raise _misshapen(shape)
            level = list(chain.from_iterable(level))
    count = count_items(shape)
    if len(level) != count:
        raise InvalidInputError(f"{len(level)} values, but shape {list(shape)} needs {count}")
    return level


def _misshapen(shape: tuple[int, ...]) -> InvalidInputError:
    return InvalidInputError(f"data is neither a flat list nor nested as shape {list(shape)}")


def _split_texts(buffer: memoryview, count: int) -> Array:
    texts, offset = [], 0
    while offset < len(buffer):
        start = offset + _LENGTH.size
        if start > len(buffer):
            raise InvalidInputError("BYTES data ends within a length")
        offset = start + _LENGTH.unpack_from(buffer, start - _LENGTH.size)[0]
        if offset > len(buffer):
            raise InvalidInputError(
                f"an element of BYTES declares {offset - start} bytes, but "
                f"{len(buffer) - start} are left"
            )
        texts.append(_decode(bytes(buffer[start:offset])))
    if len(texts) != count:
        raise InvalidInputError(f"{len(texts)} elements of BYTES, but the shape needs {count}")
    return _texts(texts)


def _texts(texts: list[Any]) -> Array:
    if set(map(type, texts)) - {str}:
        raise InvalidInputError("BYTES data must be strings")
    values = np.empty(len(texts), object)
    values[:] = texts
    return values


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError("BYTES must be UTF-8: they become the strings of ONNX") from error


def _encode(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
