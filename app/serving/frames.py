"""Messages between the API and the serving process: a JSON head, then the bytes of arrays.

A frame is the number of its call, the two lengths, the head and the body. The head's ``arrays``
lists name, type and shape of every array in the body; strings are in the head itself. Nothing is
pickled, and every length is checked: neither side trusts the other's arithmetic.
"""

import struct
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from app.serving.description import BYTES, Arrays

PREFIX = struct.Struct("<QQQ")  # number of the call, bytes of the head, bytes of the body
MOST_HEAD_BYTES = 64 * 1024**2
_ALIGNMENT = 16  # arrays begin at multiples of it, so that they can be used where they lie
_PADDING = bytes(_ALIGNMENT)
_TYPES = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()
)

Buffer = bytes | memoryview


class FrameError(ValueError):
    """A frame does not keep to the format."""


class Frame(NamedTuple):
    """One message.

    Attributes:
        number: Number of the call; 0 for a message that answers none.
        head: Operation and arguments, or the answer.
        arrays: Arrays by name.
    """

    number: int
    head: dict[str, Any]
    arrays: Arrays


def pack(number: int, head: dict[str, Any], parts: Sequence[Arrays] = ()) -> list[Buffer]:
    """Return the buffers of a frame, without copying contiguous arrays.

    Args:
        number: Number of the call.
        head: Operation and arguments.
        parts: Arrays by name. Several parts are concatenated on dimension 0; they must be equal in
            names, types and further dimensions.
    """
    listed: list[list[Any]] = []
    body: list[Buffer] = []
    num_bytes = 0
    for name in parts[0] if parts else ():
        # `ascontiguousarray` makes a number an array of one: the shape is taken before.
        values: list[NDArray[Any]] = [np.ascontiguousarray(part[name]) for part in parts]
        first = values[0]
        shape: list[int] = list(parts[0][name].shape)
        if len(values) > 1:
            shape[0] = sum(len(value) for value in values)
        if first.dtype.hasobject:
            listed.append([name, BYTES, shape, [text for v in values for text in v.ravel()]])
            continue
        listed.append([name, first.dtype.name, shape])
        size = sum(value.nbytes for value in values)
        body += [value.reshape(-1).view(np.uint8).data for value in values if value.nbytes]
        if left := -size % _ALIGNMENT:
            body.append(_PADDING[:left])
        num_bytes += size + (-size % _ALIGNMENT)
    data = orjson.dumps({**head, "arrays": listed} if listed else head)
    return [PREFIX.pack(number, len(data), num_bytes) + data, *body]


def unpack(number: int, data: Buffer, body: NDArray[np.uint8]) -> Frame:
    """Return a received frame; its arrays share the memory of ``body``.

    Raises:
        FrameError: The frame does not keep to the format.
    """
    try:
        head = orjson.loads(data)
        listed = head.pop("arrays", ())
        arrays, start = {}, 0
        for name, dtype, shape, *texts in listed:
            if dtype == BYTES:
                arrays[name] = np.array(texts[0], object).reshape(shape)
                continue
            if dtype not in _TYPES or any(type(size) is not int or size < 0 for size in shape):
                raise FrameError(f"array {name!r:.100} has type {dtype!r:.100}")
            size = prod(shape) * np.dtype(dtype).itemsize
            if start + size > len(body):
                raise FrameError(f"array {name!r:.100} ends behind the frame")
            arrays[name] = body[start : start + size].view(dtype).reshape(shape)
            start += size + (-size % _ALIGNMENT)
    except (TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        raise FrameError(str(error)) from error
    return Frame(number, head, arrays)
