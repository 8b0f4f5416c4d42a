"""Forms of readers: how a layer's tensors become the rows and matrices of least squares.

A weight is a matrix (G, M, K): for each of G groups, M outputs of K inputs. Convolutions read
patches; linear layers, matrix products and einsum are contractions of named dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from secateur.engine.repair.patches import patches, spread_out


class Form(Protocol):
    """How a reader's tensors become rows and matrices."""

    def num_positions(self, y: Tensor) -> int:
        """Return the number of rows in an output."""
        ...

    def inputs(self, x: Tensor, positions: Tensor) -> Tensor:
        """Return rows of inputs (G, n, K)."""
        ...

    def outputs(self, y: Tensor, positions: Tensor) -> Tensor:
        """Return rows of outputs (G, n, M)."""
        ...

    def matrix(self, weight: Tensor) -> Tensor:
        """Return the weight as a matrix (G, M, K)."""
        ...

    def weight(self, matrix_GMK: Tensor, shape: Sequence[int]) -> Tensor:
        """Return the weight of a matrix."""
        ...


@dataclass(frozen=True)
class Convolution:
    """Form of a convolution: weight (O, C / G, …), or (C, O / G, …) if transposed.

    A transposed convolution reads patches of its inputs with zeros between them.

    Attributes:
        kernel: Size along each spatial dimension; so are the next three.
        stride: Distance of patches.
        padding: Zeros before and after.
        dilation: Distance of taps.
        groups: Number of groups.
        spread: Distance of the inputs of a transposed convolution; empty for others.
        after: Zeros behind the last of them.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    spread: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    def num_positions(self, y: Tensor) -> int:
        """Return the number of rows in an output."""
        return y.numel() // y.shape[1]

    def inputs(self, x: Tensor, positions: Tensor) -> Tensor:
        """Return rows of inputs (G, n, K)."""
        if self.spread:
            x = spread_out(x, self.spread, self.after)
        found = patches(x, self.kernel, self.stride, self.padding, self.dilation, positions)
        return found.reshape(len(positions), self.groups, -1).transpose(0, 1)

    def outputs(self, y: Tensor, positions: Tensor) -> Tensor:
        """Return rows of outputs (G, n, M)."""
        y = y.movedim(1, -1)
        rows = y[torch.unravel_index(positions, y.shape[:-1])]
        return rows.view(len(positions), self.groups, -1).transpose(0, 1)

    def matrix(self, weight: Tensor) -> Tensor:
        """Return the weight as a matrix (G, M, K)."""
        grouped = weight.reshape(self.groups, -1, *weight.shape[1:])
        if self.spread:
            grouped = grouped.transpose(1, 2).flip(self._space)
        return grouped.flatten(2)

    def weight(self, matrix_GMK: Tensor, shape: Sequence[int]) -> Tensor:
        """Return the weight of a matrix."""
        grouped = matrix_GMK.reshape(*matrix_GMK.shape[:2], -1, *self.kernel)
        if self.spread:
            grouped = grouped.flip(self._space).transpose(1, 2)
        return grouped.reshape(tuple(shape))

    @property
    def _space(self) -> tuple[int, ...]:
        return tuple(range(3, 3 + len(self.kernel)))


@dataclass(frozen=True)
class Contraction:
    """Form of a product of named dimensions.

    Attributes:
        x: Letters of the input's dimensions.
        w: Letters of the weight's.
        y: Letters of the output's.
    """

    x: str
    w: str
    y: str

    def num_positions(self, y: Tensor) -> int:
        """Return the number of rows in an output."""
        return prod(y.shape[self.y.index(letter)] for letter in self._rows)

    def inputs(self, x: Tensor, positions: Tensor) -> Tensor:
        """Return rows of inputs (G, n, K)."""
        return self._take(x, self.x, self._summed, positions)

    def outputs(self, y: Tensor, positions: Tensor) -> Tensor:
        """Return rows of outputs (G, n, M)."""
        return self._take(y, self.y, self._new, positions)

    def matrix(self, weight: Tensor) -> Tensor:
        """Return the weight as a matrix (G, M, K)."""
        parts = (self._groups, self._new, self._summed)
        sizes = [prod(weight.shape[self.w.index(c)] for c in part) for part in parts]
        order = [self.w.index(letter) for part in parts for letter in part]
        return weight.permute(order).reshape(sizes)

    def weight(self, matrix_GMK: Tensor, shape: Sequence[int]) -> Tensor:
        """Return the weight of a matrix."""
        letters = self._groups + self._new + self._summed
        sizes = [shape[self.w.index(letter)] for letter in letters]
        order = [letters.index(letter) for letter in self.w]
        return matrix_GMK.reshape(sizes).permute(order).contiguous()

    def _take(self, value: Tensor, letters: str, last: str, positions: Tensor) -> Tensor:
        """Return rows (G, n, …) of a value, with the dimensions ``last`` as columns."""
        order = [letters.index(letter) for letter in self._rows + self._groups + last]
        sizes = [prod(value.shape[letters.index(c)] for c in p) for p in (self._groups, last)]
        value = value.permute(order)
        places = torch.unravel_index(positions, value.shape[: len(self._rows)])
        return value[places].reshape(len(positions), *sizes).transpose(0, 1)

    @property
    def _rows(self) -> str:
        return "".join(c for c in self.y if c in self.x and c not in self.w)

    @property
    def _groups(self) -> str:
        return "".join(c for c in self.y if c in self.x and c in self.w)

    @property
    def _new(self) -> str:
        return "".join(c for c in self.y if c not in self.x)

    @property
    def _summed(self) -> str:
        return "".join(c for c in self.x if c not in self.y)
