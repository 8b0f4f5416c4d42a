"""Advice on a model says what goes, what holds the rest back, and what to do."""

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.graph import analyse
from secateur.engine.program.exported import export, from_exported
from tests.fixtures.networks import randomise
from worker.pipeline.report.advice import advise
from worker.pipeline.report.describe import verdict


class Positions(nn.Module):
    """A wide layer whose channels are read by position, between two others."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 16, 3), nn.Conv2d(6, 2, 1)
        self.wide = nn.Conv2d(16, 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.wide(self.first(x).relu())[:, ::3])
        return y


@pytest.mark.parametrize(
    ("model", "sentences"),
    [
        (
            lambda: nn.Sequential(nn.Conv2d(1, 64, 3), nn.Conv2d(64, 64, 3), nn.Conv2d(64, 2, 1)),
            ["At a ratio of 0.5, 74% of the MACs go."],
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 12, 3), nn.Conv2d(12, 12, 3), nn.Conv2d(12, 2, 1)),
            ["multiples of 8 holds 19% back", "round_to 1 releases"],
        ),
        (
            Positions,
            [
                "in layers whose width is read by position in slice (test_advice.py:",
                "split or chunk",
            ],
        ),
        (
            lambda: nn.Conv2d(1, 8, 3),
            ["No filter can go", "reaches the network's output: this layer's width is what"],
        ),
    ],
    ids=["nothing held", "rounding", "by position", "one layer"],
)
def test_advice(model: type[nn.Module], sentences: list[str]) -> None:
    program = from_exported(export(randomise(model()), (torch.randn(2, 1, 9, 9),)))
    analysis = analyse(program)

    said = advise(program, analysis, verdict(program, analysis)["layers"])

    for sentence in sentences:
        assert sentence in said
