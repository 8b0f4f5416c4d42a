"""Samples that stay on disk: rows of one or several files, read by index for each batch.

Files are not memory-mapped, so only the rows of the current batch are in memory, whatever the
file's size. Reads are positional, so threads may share a `Rows`. The readers interpret the rows.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from secateur.engine.errors import DataError

_REWRITE_BYTES = 64 * 1024**2

Layout = Literal["as_stored", "add_channel", "channels_last"]


@dataclass(frozen=True)
class RowFile:
    """An array in a file, with samples along the first axis.

    Attributes:
        path: The file.
        offset: Byte offset of the first row.
        num_rows: Number of samples.
        row_shape: Shape of one sample as stored.
        dtype: Element type, in the file's byte order.
    """

    path: Path
    offset: int
    num_rows: int
    row_shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """Size of one stored sample in bytes."""
        return prod(self.row_shape) * self.dtype.itemsize

    def read(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows ``indices`` as (N, ...), in the machine's byte order.

        Raises:
            DataError: The file ends too early.
        """
        rows = np.empty((len(indices), *self.row_shape), self.dtype)
        view = rows.reshape(-1).view(np.uint8).data
        with self.path.open("rb", buffering=0) as file:
            for start, stop in _runs(indices):
                part = view[start * self.row_bytes : stop * self.row_bytes]
                _read_fully(file.fileno(), part, self.offset + int(indices[start]) * self.row_bytes)
        return rows.astype(self.dtype.newbyteorder("="), copy=False)


class Rows:
    """Samples of a data set: files of one sample shape, concatenated."""

    def __init__(self, files: Sequence[RowFile], layout: Layout = "as_stored") -> None:
        self._files = tuple(files)
        self._starts = np.cumsum([0, *(file.num_rows for file in self._files)])
        self._layout = layout
        first = self._files[0]
        self.dtype: np.dtype[Any] = first.dtype.newbyteorder("=")
        self.sample_shape = _arrange(np.empty((0, *first.row_shape), first.dtype), layout).shape[1:]

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def sample_bytes(self) -> int:
        """Size of one stored sample in bytes."""
        return self._files[0].row_bytes

    def read(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return the samples ``indices`` as contiguous (N, C, H, W) or (N, F).

        Raises:
            IndexError: An index is out of range.
        """
        if len(indices) > 0 and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"samples {indices.min()} to {indices.max()} of {len(self)}")
        if len(self._files) == 1:
            return _arrange(self._files[0].read(indices), self._layout)
        owners = np.searchsorted(self._starts, indices, side="right") - 1
        rows = np.empty((len(indices), *self._files[0].row_shape), self.dtype)
        for owner in np.unique(owners):
            where = np.flatnonzero(owners == owner)
            rows[where] = self._files[owner].read(indices[where] - self._starts[owner])
        return _arrange(rows, self._layout)


def rewrite_row_by_row(file: RowFile, target: Path) -> RowFile:
    """Rewrite a Fortran-ordered array as a C-ordered file, in pieces.

    In Fortran order the first axis varies fastest: the first value of every sample, then the second
    value of every sample, and so on.
    """
    num_numbers, itemsize = prod(file.row_shape), file.dtype.itemsize
    block_rows = min(file.num_rows, max(1, _REWRITE_BYTES // max(1, num_numbers * itemsize)))
    with file.path.open("rb", buffering=0) as source, target.open("wb") as out:
        for start in range(0, file.num_rows, block_rows):
            stop = min(file.num_rows, start + block_rows)
            block = np.empty((num_numbers, stop - start), file.dtype)
            bytes_ = block.reshape(-1).view(np.uint8).data
            width = (stop - start) * itemsize
            for number in range(num_numbers):
                offset = file.offset + (number * file.num_rows + start) * itemsize
                _read_fully(source.fileno(), bytes_[number * width : (number + 1) * width], offset)
            rows = block.T.reshape((stop - start, *file.row_shape), order="F")
            out.write(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
    return RowFile(target, 0, file.num_rows, file.row_shape, file.dtype)


def _runs(indices: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the runs of consecutive ``indices``; each takes one read."""
    if len(indices) == 0:
        return
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    edges = [0, *breaks.tolist(), len(indices)]
    yield from pairwise(edges)


def _read_fully(descriptor: int, part: memoryview, offset: int) -> None:
    while len(part) > 0:  # one call reads at most 2 GiB
        num_read = os.preadv(descriptor, [part], offset)
        if num_read == 0:
            raise DataError(f"the samples end {len(part)} bytes too early")
        part, offset = part[num_read:], offset + num_read


def _arrange(rows: NDArray[Any], layout: Layout) -> NDArray[Any]:
    if layout == "add_channel":
        return rows[:, None]
    if layout == "channels_last":
        return np.ascontiguousarray(rows.transpose(0, 3, 1, 2))
    return rows
