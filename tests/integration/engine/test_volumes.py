"""Networks on sequences and volumes are pruned, repaired, certified and exported like others."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.export.onnx import compare_onnx, export_onnx
from secateur.engine.measure import count_macs
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.pruning import prune_program
from secateur.engine.saliency import CalibrationBatch
from secateur.engine.selection import Ratio, SelectionOptions
from secateur.engine.surgery import num_certified
from tests.fixtures.networks import randomise

HALF = SelectionOptions(Ratio(0.5), round_to=1, min_channels=1)
LAYERS = {
    1: (nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d, nn.ConvTranspose1d),
    3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, nn.ConvTranspose3d),
}


class Shaped(nn.Module):
    """One level of a U-Net, with a depthwise convolution on the way."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        conv, norm, pool, transposed = LAYERS[dims]
        self.enter = nn.Sequential(conv(2, 8, 3, padding=1), norm(8), nn.ReLU())
        self.down = nn.Sequential(
            pool(2),
            conv(8, 8, 3, padding=1, groups=8),
            conv(8, 12, 1),
            nn.GroupNorm(2, 12),
            nn.SiLU(),
        )
        self.up, self.leave = transposed(12, 8, 2, 2), conv(16, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.enter(x)
        y: Tensor = self.leave(torch.cat([a, self.up(self.down(a))], 1))
        return y


def program_of(dims: int, size: int) -> Program:
    torch.manual_seed(dims)
    return from_exported(export(randomise(Shaped(dims)), (torch.zeros(2, 2, *[size] * dims),)))


@pytest.mark.parametrize("dims", LAYERS)
def test_a_network_of_any_number_of_dimensions_is_pruned(dims: int, tmp_path: Path) -> None:
    program = program_of(dims, 8)
    data = CalibrationBatch((torch.randn(5, 2, *[8] * dims),))
    found = prune_program(program, HALF, batches=(data,))
    assert {f.name: (f.num_groups, len(f.kept)) for f in found.plan.families} == {
        "enter.0.weight": (8, 4),
        "down.2.weight": (6, 3),
        "up.weight": (8, 4),
    }
    assert found.num_repair_samples == 5
    assert found.certificate.inexact_ops == ("group_norm",)
    assert found.certificate.num_samples == 7
    positions, half = 8**dims, 4**dims
    taps, window = 3**dims, 2**dims
    assert count_macs(found.program) == positions * (2 * 4 * taps + 8 * 3) + half * (
        4 * taps + 4 * 6 + 6 * 4 * window
    )
    export_onnx(found.program, tmp_path / "model.onnx")
    assert compare_onnx(found.program, tmp_path / "model.onnx", [data.inputs]) < 1e-4


@pytest.mark.parametrize("dims", LAYERS)
def test_a_plan_without_the_norm_is_exact(dims: int) -> None:
    options = SelectionOptions(Ratio(0.5), round_to=1, min_channels=1, exclude=("down.2.weight",))
    found = prune_program(program_of(dims, 8), options)
    assert found.certificate.is_exact
    assert found.certificate.float64.max_relative_error < 1e-12


def test_large_volumes_are_certified_on_fewer_samples() -> None:
    assert num_certified(program_of(3, 8), 8) == 8
    assert num_certified(program_of(3, 192), 8) == 2  # 1.5 GiB of values a sample, in float64
    wide = nn.Sequential(nn.Conv3d(64, 64, 3, padding=1), nn.Conv3d(64, 1, 1)).eval()
    program = from_exported(export(wide, (torch.zeros(2, 64, 64, 64, 64),)))
    assert count_macs(program) == 64**3 * 64 * (64 * 27 + 1)
    assert num_certified(program, 8) == 2**37 // count_macs(program) == 4
