"""Least squares for one weight, with a ridge toward its kept values.

The unknowns of a weight are a matrix W (G, M, K): for each of G groups, M outputs of K inputs. Rows
of inputs X (G, n, K) and wanted outputs Y (G, n, M) are added batch by batch. Without means::

    W' = argmin |X Wᵀ - Y|² + r |W - W_kept|²,   r = ridge * mean(diag(XᵀX))

Sums are accumulated in float64. `Gram` keeps XᵀX; `Rows` keeps X itself, for weights with more
columns than rows, and solves the same problem in its dual form.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_LEAST = 1e-30  # of a ridge, where all inputs are zero
_MOST_TRIES = 8


@dataclass(frozen=True)
class Solution:
    """Solved weight.

    Attributes:
        weight: Solved weight (G, M, K), in float64.
        bias: Mean of the outputs less that of the weighted inputs (G, M); zero unless centred.
        num_rows: Number of rows.
        before: Squared error of the kept weight, relative to the outputs' sum of squares.
        after: Squared error of the solved one.
    """

    weight: Tensor
    bias: Tensor
    num_rows: int
    before: float
    after: float


class Equations(Protocol):
    """Rows of one least squares problem."""

    def add(self, x_GnK: Tensor, y_GnM: Tensor) -> None:
        """Add rows."""
        ...

    def solve(self, kept_GMK: Tensor, ridge: float, *, is_centred: bool) -> Solution:
        """Return the solution near ``kept_GMK``."""
        ...


class Gram:
    """Equations as sums of products."""

    def __init__(self) -> None:
        self._num_rows = 0
        self._sums: list[Tensor] = []

    def add(self, x_GnK: Tensor, y_GnM: Tensor) -> None:
        """Add rows of inputs and wanted outputs."""
        columns_GKn = x_GnK.transpose(1, 2)
        parts = [
            (columns_GKn @ x_GnK).double(),
            (columns_GKn @ y_GnM).double(),
            x_GnK.sum(1, dtype=torch.float64),
            y_GnM.sum(1, dtype=torch.float64),
            y_GnM.double().square().sum(1),
        ]
        old = self._sums or [torch.zeros_like(part) for part in parts]
        self._sums = [a + b for a, b in zip(old, parts, strict=True)]
        self._num_rows += x_GnK.shape[1]

    def solve(self, kept_GMK: Tensor, ridge: float, *, is_centred: bool) -> Solution:
        """Return the solution near ``kept_GMK``."""
        gram, cross, x_GK, y_GM, energy = self._sums
        if is_centred:
            gram = gram - x_GK[:, :, None] * x_GK[:, None] / self._num_rows
            cross = cross - x_GK[:, :, None] * y_GM[:, None] / self._num_rows
            energy = energy - y_GM.square() / self._num_rows
        kept = kept_GMK.double()
        left = cross - gram @ kept.transpose(1, 2)
        shift = _solve(gram, left, ridge * gram.diagonal(dim1=1, dim2=2).mean(1))
        found = kept + shift.transpose(1, 2)
        errors = [_error(gram, cross, energy, weight) for weight in (kept, found)]
        return Solution(
            found,
            _bias(found, x_GK, y_GM, self._num_rows, is_centred=is_centred),
            self._num_rows,
            *errors,
        )


class Rows:
    """Equations as rows, for weights with more columns than rows."""

    def __init__(self) -> None:
        self._x: list[Tensor] = []
        self._y: list[Tensor] = []

    def add(self, x_GnK: Tensor, y_GnM: Tensor) -> None:
        """Add rows of inputs and wanted outputs."""
        self._x.append(x_GnK)
        self._y.append(y_GnM)

    def solve(self, kept_GMK: Tensor, ridge: float, *, is_centred: bool) -> Solution:
        """Return the solution near ``kept_GMK``."""
        x, y = torch.cat(self._x, 1), torch.cat(self._y, 1)
        num_rows = x.shape[1]
        x_GK, y_GM = x.sum(1, dtype=torch.float64), y.sum(1, dtype=torch.float64)
        if is_centred:
            x = x - (x_GK / num_rows)[:, None].to(x.dtype)
            y = y - (y_GM / num_rows)[:, None].to(y.dtype)
        left = (y - x @ kept_GMK.to(x.dtype).transpose(1, 2)).double()
        kernel = (x @ x.transpose(1, 2)).double()
        mean = kernel.diagonal(dim1=1, dim2=2).sum(1) / x.shape[2]
        dual = _solve(kernel, left, ridge * mean)
        found = kept_GMK.double() + (dual.transpose(1, 2).to(x.dtype) @ x).double()
        energy = y.double().square().sum(1)
        rest = left - kernel @ dual
        errors = [_ratio(part.square().sum(), energy.sum()) for part in (left, rest)]
        return Solution(
            found,
            _bias(found, x_GK, y_GM, num_rows, is_centred=is_centred),
            num_rows,
            *map(float, errors),
        )


def _solve(a: Tensor, b: Tensor, ridge_G: Tensor) -> Tensor:
    """Return (a + ridge)⁻¹ b, with a larger ridge where rounding makes the sum indefinite."""
    ridge = ridge_G.clamp_min(_LEAST)[:, None, None]
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    for _ in range(_MOST_TRIES):
        factor, failed = torch.linalg.cholesky_ex(a + ridge * eye)
        if not bool(failed.any()):
            return torch.cholesky_solve(b, factor)
        ridge = torch.where(failed[:, None, None] > 0, ridge * 10, ridge)
    return torch.zeros_like(b)


def _error(gram: Tensor, cross: Tensor, energy: Tensor, weight: Tensor) -> float:
    """Return the squared error of a weight, relative to the outputs' sum of squares."""
    explained = 2 * (weight.transpose(1, 2) * cross).sum() - ((weight @ gram) * weight).sum()
    return float(_ratio((energy.sum() - explained).clamp_min(0), energy.sum()))


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole.clamp_min(_LEAST), torch.ones_like(whole))


def _bias(weight: Tensor, x_GK: Tensor, y_GM: Tensor, num_rows: int, *, is_centred: bool) -> Tensor:
    """Return the mean of the outputs less that of the weighted inputs (G, M)."""
    if not is_centred:
        return torch.zeros_like(y_GM)
    return (y_GM - (weight @ x_GK[:, :, None])[:, :, 0]) / num_rows
