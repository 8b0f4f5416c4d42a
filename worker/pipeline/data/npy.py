"""One unpacked ``.npy`` file: its header is read and checked, its numbers stay on disk."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from worker.engine.errors import DataError


@dataclass(frozen=True)
class NpyArray:
    """A plain array in a file.

    Attributes:
        path: The file.
        name: What the user called it, for messages.
        offset: Where the numbers begin, in bytes.
        shape: Of the whole array.
        dtype: Of its elements, in the file's byte order.
        is_fortran: Whether the first axis runs fastest, not the last.
    """

    path: Path
    name: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool

    def load(self, max_bytes: int) -> NDArray[Any]:
        """Return the whole array.

        Raises:
            DataError: It has more than ``max_bytes``.
        """
        num_bytes = prod(self.shape) * self.dtype.itemsize
        if num_bytes > max_bytes:
            raise DataError(f"member {self.name} has {num_bytes} bytes, at most {max_bytes}")
        values = np.fromfile(self.path, self.dtype, prod(self.shape), offset=self.offset)
        order: Any = "F" if self.is_fortran else "C"
        return values.astype(self.dtype.newbyteorder("="), copy=False).reshape(
            self.shape, order=order
        )


def open_npy(path: Path, name: str) -> NpyArray:
    """Read the header of a ``.npy`` file.

    Raises:
        DataError: It is not one, it holds objects or records, or more or less than it says.
    """
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
            shape, is_fortran, dtype = read(file)
            offset = file.tell()
    except (ValueError, TypeError, EOFError, OverflowError, KeyError) as error:
        raise _refused(name) from error
    is_plain = not dtype.hasobject and dtype.kind != "V"
    num_bytes = prod(shape) * dtype.itemsize
    if not is_plain or min(shape, default=0) < 0 or path.stat().st_size - offset != num_bytes:
        raise _refused(name)
    return NpyArray(path, name, offset, tuple(int(n) for n in shape), dtype, is_fortran)


def _refused(name: str) -> DataError:
    return DataError(f"member {name} is not a plain array (objects are not accepted)")
