"""Norms over removed channels are exact if they go on counting these as zeros."""

from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from secateur.engine import Analysis, Plan, Program, analyse, compact, from_module, make_plan
from secateur.engine.export.onnx import export_onnx
from secateur.engine.program.module import ProgramModule
from secateur.engine.surgery import certify, mask_program
from tests.fixtures.networks import randomise

NORMS: dict[str, Callable[[], nn.Module]] = {
    "layer_norm": lambda: nn.LayerNorm(16),
    "layer_norm without affine": lambda: nn.LayerNorm(16, elementwise_affine=False),
    "layer_norm over channels and space": lambda: nn.LayerNorm([16, 6, 6]),
    "rms_norm": lambda: nn.RMSNorm(16),
    "group_norm": lambda: nn.GroupNorm(4, 16),
    "group_norm of one group": lambda: nn.GroupNorm(1, 16),
    "group_norm without affine": lambda: nn.GroupNorm(2, 16, affine=False),
}


class Normed(nn.Module):
    """A norm in a residual block."""

    def __init__(self, norm: nn.Module, shift: float = 0.0) -> None:
        super().__init__()
        self.a, self.norm, self.shift = nn.Conv2d(3, 16, 3, padding=1), norm, shift
        self.b, self.c = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.a(x)) + self.shift
        is_last = getattr(self.norm, "normalized_shape", (0, 0)) == (16,)
        z = self.norm(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if is_last else self.norm(y)
        found: Tensor = self.c(torch.relu(y + self.b(z)))
        return found


def halved(program: Program, *, has_exact_norms: bool = True) -> tuple[Analysis, Plan, Program]:
    analysis = analyse(program, has_exact_norms=has_exact_norms)
    keeps = {f.name: torch.arange(f.num_groups) % 2 == 0 for f in analysis.families}
    plan = make_plan(program, analysis, keeps)
    return analysis, plan, compact(program, analysis, plan)


def prepared(norm: nn.Module, shift: float = 0.0) -> Program:
    torch.manual_seed(0)
    return from_module(randomise(Normed(norm, shift)).eval(), (torch.randn(2, 3, 6, 6),))


@pytest.mark.parametrize("kind", NORMS)
def test_a_padded_norm_is_its_masked_twin(kind: str) -> None:
    program = prepared(NORMS[kind]())
    analysis, plan, smaller = halved(program)
    assert plan.num_removed
    assert all(family.is_exact for family in analysis.families)
    certify(mask_program(program, plan), smaller, [program.example_inputs(3)])


@pytest.mark.parametrize("kind", ["layer_norm", "group_norm"])
def test_the_onnx_file_of_a_padded_norm_computes_the_same(kind: str, tmp_path: Path) -> None:
    _, _, smaller = halved(prepared(NORMS[kind]()))
    x = torch.randn(3, 3, 6, 6)
    export_onnx(smaller, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    [found] = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        wanted = ProgramModule(smaller).eval()(x)
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-4, atol=1e-4)


def test_a_padded_network_can_be_pruned_again() -> None:
    _, _, once = halved(prepared(nn.LayerNorm(16)))
    analysis, plan, twice = halved(once)
    assert plan.num_removed
    assert all(family.is_exact for family in analysis.families)
    certify(mask_program(once, plan), twice, [once.example_inputs(3)])


def test_channels_that_are_not_zero_when_removed_stay_inexact() -> None:
    analysis, _, _ = halved(prepared(nn.LayerNorm(16), shift=1.0))
    assert [family.inexact_ops for family in analysis.families] == [("layer_norm",)]


def test_fused_norms_stay_the_default() -> None:
    program = prepared(nn.LayerNorm(16))
    analysis, _, smaller = halved(program, has_exact_norms=False)
    assert [family.inexact_ops for family in analysis.families] == [("layer_norm",)]
    assert not any("pad" in str(node.target) for node in smaller.graph.nodes)
