"""Decoded images, which stay in the serving process: the API knows their shapes only.

A request of 10 kB may become 243 MB of network input. On their way through the API such arrays
would hold up its event loop, and with it every other tenant.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Place = tuple[str, int, int]


class Hold:
    """Keeps an array in the serving process while it has users; starts with one.

    Args:
        key: The array's key there.
        drop: Called once, when the last user has let go.
    """

    def __init__(self, key: str, drop: Callable[[str], None]) -> None:
        self.key, self._drop = key, drop
        self._num_users = 1

    def retain(self) -> None:
        """Add a user."""
        self._num_users += 1

    def release(self) -> None:
        """Remove a user."""
        self._num_users -= 1
        if self._num_users == 0:
            self._drop(self.key)


@dataclass(frozen=True)
class HeldArray:
    """Items of an array in the serving process, with the part of numpy's interface that queues use.

    Attributes:
        hold: Keeps the array there.
        shape: Its shape.
        dtype: Its type.
        start: First item, counted on dimension 0 of the array that is held.
        sizes: Height and width of each image before it was fitted to the input.
    """

    hold: Hold
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int = 0
    sizes: tuple[tuple[int, int], ...] = ()

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def place(self) -> Place:
        """Key, first and last item (exclusive): what the serving process needs to find it."""
        return self.hold.key, self.start, self.start + len(self)

    def __len__(self) -> int:
        """Return the number of items."""
        return self.shape[0]

    def __getitem__(self, items: slice) -> Self:
        """Return some items, in the same order."""
        first, end, _ = items.indices(len(self))
        return replace(self, shape=(max(0, end - first), *self.shape[1:]), start=self.start + first)


Inputs = Mapping[str, NDArray[Any] | HeldArray]


def holds_of(inputs: Inputs) -> list[Hold]:
    """Return what keeps a request's images."""
    return [array.hold for array in inputs.values() if isinstance(array, HeldArray)]
