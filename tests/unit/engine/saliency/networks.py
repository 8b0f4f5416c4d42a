"""Small networks and their scores: one with a residual stream, a branch and a concatenation."""

import torch
from torch import nn
from typing_extensions import override

from secateur.engine.graph import Analysis, analyse
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from tests.fixtures.networks import small_program

PROGRAM = small_program()
ANALYSIS = analyse(PROGRAM)
OPTIONS = SaliencyOptions(normalization="none")


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.inner, self.outer = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
        self.side = nn.Conv2d(1, 3, 3, padding=1)
        self.fc = nn.Linear(7 * 9, 5)

    @override
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn(self.stem(x)))
        y = y + self.outer(torch.relu(self.inner(y)))
        z = nn.functional.max_pool2d(torch.cat([y, torch.relu(self.side(x))], 1), 2)
        logits: torch.Tensor = self.fc(z.flatten(1))
        return logits


def branches() -> tuple[Program, Analysis]:
    torch.manual_seed(0)
    net = Branches()
    for tensor in net.state_dict().values():
        if tensor.ndim == 1:
            nn.init.uniform_(tensor, 0.5, 1.5)
    program = from_exported(export(net, (torch.randn(2, 1, 6, 6),)))
    return program, analyse(program)


def calibration(num_samples: int = 16) -> CalibrationBatch:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(num_samples, 1, 8, 8, generator=generator)
    return CalibrationBatch((x,), torch.arange(num_samples) % 4)


def scores(kind: str, num_samples: int = 16) -> dict[str, torch.Tensor]:
    return CRITERIA[kind](PROGRAM, ANALYSIS, (calibration(num_samples),), OPTIONS)


def filters() -> torch.Tensor:
    return PROGRAM.tensors["conv3.weight"].double().flatten(1)
