"""A small detector, and modules as programs."""

import torch
from torch import Tensor, nn

from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program


class Heads(nn.Module):
    """Boxes and scores, as a detector returns them."""

    def __init__(self, *, is_soft: bool = True) -> None:
        super().__init__()
        self.conv, self.boxes, self.scores = nn.Conv2d(1, 4, 3), nn.Linear(4, 4), nn.Linear(4, 2)
        self.is_soft = is_soft

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.relu(self.conv(x)).mean((2, 3))
        scores = self.scores(y)
        return self.boxes(y), scores.softmax(1) if self.is_soft else scores


def program_of(model: nn.Module) -> Program:
    return from_exported(export(model.eval(), (torch.randn(2, 1, 8, 8),)))
