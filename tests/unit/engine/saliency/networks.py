"""Small networks with a residual stream, a branch, a concatenation and a flatten."""

import torch
from torch import nn
from typing_extensions import override

from secateur.engine.graph import Analysis, analyse
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program


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
