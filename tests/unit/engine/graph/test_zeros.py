"""A sum over channels is exact only if what is removed is zero."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from secateur.engine.graph import analyse
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.surgery import certify, compact, mask_program
from tests.fixtures.networks import randomise

Function = Callable[[Tensor], Tensor]


class Gated(nn.Module):
    """Channels of a convolution, scaled by a number that a function computes from all of them."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.last, self.function = nn.Conv2d(8, 2, 1), function

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.first(x)).relu()
        out: Tensor = self.last(y * self.function(y))
        return out


class Shift(nn.Module):
    """A learned shift that is the same for all channels."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.rand(shape))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.shift).sum(1, keepdim=True)


CASES: dict[str, tuple[Callable[[], Function], bool]] = {
    "a sum": (lambda: lambda x: x.sum(1, keepdim=True), True),
    "a norm": (lambda: lambda x: x.norm(dim=1, keepdim=True), True),
    "a norm of order 1": (lambda: lambda x: x.norm(p=1, dim=1, keepdim=True), True),
    "normalisation": (lambda: lambda x: F.normalize(x, dim=1), True),
    "a sum of the pooled": (lambda: lambda x: F.max_pool2d(x, 3, 1, 1).sum(1, keepdim=True), True),
    "a sum of a shift per channel": (lambda: Shift(8, 1, 1), True),
    "a gated sum": (lambda: lambda x: (x * x.sigmoid()).sum(1, keepdim=True), True),
    "a sum of gates": (lambda: lambda x: x.sigmoid().sum(1, keepdim=True), False),
    "a sum of products of gates": (lambda: lambda x: (x.cos() * x.exp()).sum(1, True), False),
    "a sum of a shift of all channels": (lambda: Shift(1, 1, 1), False),
    "a sum of positions": (lambda: Shift(6, 6), False),
    "a sum of a number": (lambda: lambda x: (x + 1).sum(1, keepdim=True), False),
    "a clamp above zero": (lambda: lambda x: x.clamp(0.5, 2).sum(1, keepdim=True), False),
    "a padded sum": (lambda: lambda x: F.pad(x, (1, 1), value=1.0)[..., 1:7].sum(1, True), False),
    "a mean": (lambda: lambda x: x.mean(1, keepdim=True), False),
    "a norm of order -1": (lambda: lambda x: (x + 9).norm(p=-1, dim=1, keepdim=True), False),
}


@pytest.mark.parametrize("name", CASES)
def test_a_sum_is_exact_if_what_is_removed_is_zero(name: str) -> None:
    function, is_exact = CASES[name]
    model = randomise(Gated(function()))
    program = from_exported(export(model, (torch.randn(2, 1, 6, 6),)))
    analysis = analyse(program)
    (family,) = analysis.families
    plan = make_plan(program, analysis, {family.name: torch.arange(8) % 2 == 0})

    found = certify(
        mask_program(program, plan),
        compact(program, analysis, plan),
        [program.example_inputs(2)],
        family.inexact_ops,
    )

    assert family.is_exact is is_exact
    assert (found.float64.max_relative_error <= 1e-9) or not is_exact
