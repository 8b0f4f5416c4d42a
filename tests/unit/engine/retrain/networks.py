"""Small networks and data that every retrain test shares."""

from functools import cache

import torch
from torch import Tensor, nn

from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.retrain import TrainingData
from secateur.engine.samples import TensorSource


def small_program(*, dropout: float = 0.0, momentum: float | None = 0.1) -> Program:
    """Return a network that is exported once, with tensors and a random state of the caller's."""
    program, state = _exported(dropout, momentum)
    torch.set_rng_state(state)
    return program.map_tensors(torch.clone)


@cache
def _exported(dropout: float, momentum: float | None) -> tuple[Program, Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6, momentum=momentum),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8, momentum=momentum),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(8, 3),
    )
    program = from_exported(export(net, (torch.randn(2, 1, 8, 8),)))
    return program, torch.get_rng_state()


def small_data(num_samples: int = 96) -> TrainingData:
    """Three classes of noise that differ in how loud they are; the last quarter validates."""
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(0, 3, (num_samples,), generator=generator)
    x = torch.randn(num_samples, 1, 8, 8, generator=generator) * (1 + y[:, None, None, None])
    order: Tensor = torch.arange(num_samples)
    cut = num_samples * 3 // 4
    return TrainingData(TensorSource(x, y), order[:cut], order[cut:])
