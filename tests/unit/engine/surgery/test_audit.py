"""Exact families are certified alone, and inexact families are measured alone."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from secateur.engine.errors import EquivalenceError
from secateur.engine.graph import Analysis, analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.plan import Plan, make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import Ratio, SelectionOptions, select
from secateur.engine.surgery import audit
from tests.fixtures.networks import randomise, small_program


class Mixed(nn.Module):
    """One family before a GroupNorm, one before a BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8)
        self.b, self.bn = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.a(x)))
        x = torch.relu(self.bn(self.b(x)))
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


def pruned(program: Program) -> tuple[Analysis, Plan]:
    analysis = analyse(program)
    scores = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    limits = SelectionOptions(Ratio(0.5), min_channels=1, round_to=1)
    keeps = select(analysis, scores, limits, CostModel(program, analysis)).keeps
    return analysis, make_plan(program, analysis, keeps, saliency=scores)


def mixed_program() -> Program:
    torch.manual_seed(0)
    return from_exported(export(randomise(Mixed()), (torch.randn(2, 1, 8, 8),)))


def test_a_mixed_plan_has_its_exact_families_certified_and_the_others_measured() -> None:
    program = mixed_program()
    analysis, plan = pruned(program)
    found = audit(program, analysis, plan, [program.example_inputs(4)])
    assert found.exact is not None
    assert found.exact.max_relative_error < 1e-12
    [part] = found.inexact
    assert (part.op, part.families) == ("group_norm", ("a.weight",))
    assert part.float64.max_relative_error > 1e-6


def test_an_exact_plan_has_no_inexact_part() -> None:
    program = small_program()
    analysis, plan = pruned(program)
    found = audit(program, analysis, plan, [program.example_inputs(4)])
    assert found.inexact == ()
    assert found.exact is not None


def test_a_wrong_exact_family_is_not_hidden_by_an_inexact_one() -> None:
    program = mixed_program()
    analysis, plan = pruned(program)
    # A broken analysis that misses the reader of b's channels.
    families = tuple(
        replace(family, members=tuple(m for m in family.members if m.tensor != "fc.weight"))
        if family.name == "b.weight"
        else replace(family, inexact_ops=())
        for family in analysis.families
    )
    with pytest.raises(EquivalenceError):
        audit(program, replace(analysis, families=families), plan, [program.example_inputs(4)])
