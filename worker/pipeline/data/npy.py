"""One unpacked ``.npy`` file: the header is read and checked, the values stay on disk."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError

_MAX_RANK = 8
_MAX_SIZE = 2**48
_VALUE_BYTES = 8  # one number; a string takes 4 bytes per character


@dataclass(frozen=True)
class NpyArray:
    """A plain array in a file.

    Attributes:
        path: The file.
        name: Name given by the user, for messages.
        offset: Byte offset of the first value.
        shape: Shape of the whole array.
        dtype: Element type, in the file's byte order.
        is_fortran: True for Fortran (column-major) order.
    """

    path: Path
    name: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool

    def load(self, limits: LimitSettings) -> NDArray[Any]:
        """Return the whole array.

        Raises:
            DataTooLargeError: The array exceeds the limit for labels.
        """
        num_bytes, most = prod(self.shape) * self.dtype.itemsize, _VALUE_BYTES * limits.label_values
        if num_bytes > most or prod(self.shape) > limits.label_values:
            raise DataTooLargeError(
                f"member {self.name} has {prod(self.shape)} values in {num_bytes} bytes, at most "
                f"{limits.label_values} in {most}"
            )
        values = np.fromfile(self.path, self.dtype, prod(self.shape), offset=self.offset)
        order: Any = "F" if self.is_fortran else "C"
        return values.astype(self.dtype.newbyteorder("="), copy=False).reshape(
            self.shape, order=order
        )


def open_npy(path: Path, name: str) -> NpyArray:
    """Read the header of a ``.npy`` file.

    Raises:
        DataError: The file is not a ``.npy`` file, holds objects or records, or its size does not
            match the header.
    """
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
            shape, is_fortran, dtype = read(file)
            offset = file.tell()
    except Exception as error:  # numpy, Python's parser and tokenizer raise many kinds here
        raise _refused(name) from error
    is_plain = not dtype.hasobject and dtype.kind != "V" and len(shape) <= _MAX_RANK
    num_bytes = prod(shape) * dtype.itemsize
    if not is_plain or not _is_shape(shape) or path.stat().st_size - offset != num_bytes:
        raise _refused(name)
    return NpyArray(path, name, offset, tuple(int(n) for n in shape), dtype, is_fortran)


def _is_shape(shape: tuple[int, ...]) -> bool:
    """Return whether an array of this shape can exist, even if one of its sizes is 0."""
    return min(shape, default=0) >= 0 and prod(max(size, 1) for size in shape) <= _MAX_SIZE


def _refused(name: str) -> DataError:
    return DataError(f"member {name} is not a plain array (objects are not accepted)")
