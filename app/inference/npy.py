"""Bodies in numpy's ``.npy`` format: one array after a header of type and shape, no pickle."""

import io
from collections.abc import Sequence
from functools import lru_cache
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from app.contracts.errors import InvalidInputError
from app.inference.tensors import check_shape, invalid
from app.serving.description import BFLOAT16, BYTES, Arrays, TensorSpec

MEDIA_TYPE = "application/x-npy"
MAGIC = npy_format.MAGIC_PREFIX
_POINTER = "/"
_MOST_HEADER_BYTES = 4096
# What numpy's reader raises for the headers that it evaluates or tokenizes.
_UNREADABLE = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TokenError,
    TypeError,
    ValueError,
)
_PREFIXES = {1: 10, 2: 12}  # bytes up to the header, by major version


def parse_npy(specs: Sequence[TensorSpec], data: bytes) -> Arrays:
    """Return the array of a body for a model with one input. The array shares the body's memory.

    Raises:
        InvalidInputError: The body is not a ``.npy`` file, or the array does not fit the input.
    """
    if len(specs) != 1:
        names = [spec.name for spec in specs]
        raise invalid(_POINTER, f"the model takes {len(names)} inputs, {names}: send JSON, or /v2")
    spec = specs[0]
    start = _header_end(data)
    dtype, shape, is_fortran = _header(data[:start])
    if dtype.hasobject or dtype.names is not None or spec.dtype in {BYTES, BFLOAT16}:
        raise invalid(_POINTER, f"input {spec.name!r} takes {spec.dtype}, not {dtype}")
    check_shape(spec, shape, _POINTER)
    wanted = np.dtype(spec.dtype)
    if not np.can_cast(dtype, wanted, "same_kind"):
        raise invalid(_POINTER, f"input {spec.name!r} takes {spec.dtype}, not {dtype}")
    expected = dtype.itemsize * int(np.prod(shape, dtype=object))
    if len(data) - start != expected:
        raise invalid(_POINTER, f"{expected} bytes follow the header, not {len(data) - start}")
    array = np.frombuffer(data, dtype, offset=start)
    array = array.reshape(shape, order="F" if is_fortran else "C")
    return {spec.name: np.ascontiguousarray(array, wanted)}


def to_npy(array: NDArray[Any]) -> bytes:
    """Return an array as a ``.npy`` file.

    Raises:
        InvalidInputError: The array holds strings.
    """
    if array.dtype.hasobject:
        raise InvalidInputError("a .npy file cannot hold strings: ask for JSON")
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _header_end(data: bytes) -> int:
    prefix = _PREFIXES.get(data[6]) if len(data) > _PREFIXES[2] else None
    if prefix is None or not data.startswith(MAGIC):
        raise invalid(_POINTER, "the body is not a .npy file of version 1 or 2")
    end = prefix + int.from_bytes(data[8:prefix], "little")
    if end > min(len(data), _MOST_HEADER_BYTES):
        raise invalid(_POINTER, f"the .npy header ends at byte {end} of {len(data)}")
    return end


@lru_cache(1024)  # clients repeat the same header
def _header(head: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    file = io.BytesIO(head)
    try:
        major, _ = npy_format.read_magic(file)
        read = npy_format.read_array_header_1_0 if major == 1 else npy_format.read_array_header_2_0
        shape, is_fortran, dtype = read(file, _MOST_HEADER_BYTES)
    except _UNREADABLE as error:
        raise invalid(_POINTER, f"the .npy header cannot be read: {error}") from error
    if any(type(size) is not int or size < 0 for size in shape):  # numpy takes -1 and True
        raise invalid(_POINTER, f"the .npy header has the impossible shape {list(shape)[:32]}")
    return dtype, shape, is_fortran
