"""Least squares with a ridge toward the kept weight, against a naive reference."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from secateur.engine.repair.solve import Equations, Gram, Rows

KINDS: list[Callable[[], Equations]] = [Gram, Rows]


def _naive(x: Tensor, y: Tensor, kept: Tensor, ridge: float) -> Tensor:
    """Solve one group as an ordinary least squares problem with more rows."""
    strength = (ridge * x.square().sum(0).mean()).sqrt()
    rows = torch.cat([x, strength * torch.eye(x.shape[1], dtype=x.dtype)])
    wanted = torch.cat([y, strength * kept.T])
    found: Tensor = torch.linalg.lstsq(rows, wanted).solution.T
    return found


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("is_centred", [True, False])
@pytest.mark.parametrize("num_rows", [4, 60])
def test_the_solution_is_that_of_ordinary_least_squares(
    make: Callable[[], Equations], is_centred: bool, num_rows: int
) -> None:
    torch.manual_seed(0)
    x, y, kept = (
        torch.randn(2, num_rows, 5) + 3,
        torch.randn(2, num_rows, 3) - 1,
        torch.randn(2, 3, 5),
    )
    equations = make()
    for part in torch.arange(num_rows).split(7):
        equations.add(x[:, part], y[:, part])
    found = equations.solve(kept, 0.1, is_centred=is_centred)
    x, y = x.double(), y.double()
    means = (x.mean(1), y.mean(1)) if is_centred else (torch.zeros(2, 5), torch.zeros(2, 3))
    for group in range(2):
        a, b = x[group] - means[0][group], y[group] - means[1][group]
        wanted = _naive(a, b, kept[group].double(), 0.1)
        torch.testing.assert_close(found.weight[group], wanted, rtol=1e-4, atol=1e-4)
        bias = means[1][group].double() - wanted @ means[0][group].double()
        torch.testing.assert_close(found.bias[group], bias, rtol=1e-4, atol=1e-4)
    errors = (
        y - means[1][:, None] - (x - means[0][:, None]) @ found.weight.transpose(1, 2)
    ).square()
    energy = (y - means[1][:, None]).square().sum()
    assert found.after == pytest.approx(float(errors.sum() / energy), rel=1e-3, abs=1e-5)
    assert found.num_rows == num_rows


@pytest.mark.parametrize("make", KINDS)
def test_inputs_of_zeros_leave_the_weight(make: Callable[[], Equations]) -> None:
    kept = torch.randn(1, 3, 5)
    equations = make()
    equations.add(torch.zeros(1, 8, 5), torch.randn(1, 8, 3))
    torch.testing.assert_close(equations.solve(kept, 1e-3, is_centred=True).weight.float(), kept)
