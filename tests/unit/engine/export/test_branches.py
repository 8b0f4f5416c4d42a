"""Parallel branches of convolutions are exported as one convolution, and compute the same."""

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.export.branches import fuse_branches
from secateur.engine.graph import analyse
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.functional import op_name
from secateur.engine.program.program import Program
from secateur.engine.surgery import certify, compact, deviation, mask_program
from tests.fixtures.networks import randomise


def normalised(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Sum(nn.Module):
    """A convolution, a sum of branches with ReLU, and a convolution."""

    def __init__(self, *branches: nn.Module, inner: int = 8) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 8, 1), nn.Conv2d(inner, 2, 1)
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        y: Tensor = self.last(sum(branch(x) for branch in self.branches).relu())
        return y


FUSED: dict[str, Callable[[], nn.Module]] = {
    "RepVGG": lambda: Sum(normalised(8, 8, 3), normalised(8, 8, 1), nn.BatchNorm2d(8)),
    "RepVGG with a stride": lambda: Sum(normalised(8, 6, 3, 2), normalised(8, 6, 1, 2), inner=6),
    "MobileOne's depthwise": lambda: Sum(
        *(normalised(8, 8, 3, groups=8) for _ in range(3)),
        normalised(8, 8, 1, groups=8),
        nn.BatchNorm2d(8),
    ),
    "a convolution and its input": lambda: Sum(nn.Conv2d(8, 8, 3, padding=1), nn.Identity()),
    "asymmetric kernels": lambda: Sum(
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.Conv2d(8, 8, (1, 3), padding=(0, 1), groups=2),
        nn.BatchNorm2d(8),
    ),
}
KEPT: dict[str, Callable[[], nn.Module]] = {
    "different sizes of groups": lambda: Sum(normalised(8, 8, 3, groups=8), normalised(8, 8, 1)),
    "a branch with two layers": lambda: Sum(
        nn.Sequential(normalised(8, 8, 3), nn.ReLU(), normalised(8, 8, 3)), nn.Identity()
    ),
    "kernels that are not centred": lambda: Sum(
        nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 2, padding=1, dilation=2)
    ),
}


def program_of(model: nn.Module) -> Program:
    return from_exported(export(randomise(model), (torch.randn(2, 2, 7, 7),)))


def count(program: Program) -> Counter[str]:
    return Counter(op_name(n.target) for n in program.graph.nodes if n.op == "call_function")


@pytest.mark.parametrize("name", FUSED)
def test_branches_become_one_convolution_after_pruning(name: str) -> None:
    program = program_of(FUSED[name]())
    analysis = analyse(program)
    keeps = {f.name: torch.arange(f.num_groups) % 2 == 0 for f in analysis.families}
    plan = make_plan(program, analysis, keeps)
    smaller = compact(program, analysis, plan)
    certify(mask_program(program, plan), smaller, [program.example_inputs(2)])

    fused = fuse_branches(smaller)

    assert count(fused) == {"conv2d": 3, "relu": 2}
    # The fused weights are rounded to float32 once more; before that the proof is to 1e-9.
    found = deviation(smaller, fused, [program.example_inputs(3)], torch.float64)
    assert found.max_relative_error < 1e-6
    assert {t.dtype for t in fused.tensors.values()} == {torch.float32}


@pytest.mark.parametrize("name", KEPT)
def test_other_sums_stay(name: str) -> None:
    program = program_of(KEPT[name]())
    before = count(program)["conv2d"]

    assert count(fuse_branches(program))["conv2d"] == before
