"""Whole jobs, on the simulated device and on the CPU."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from app.contracts.report import Report
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.program.reader import read_program
from tests.accelerator.simulated import COUNT, Simulation
from tests.fixtures.jobs import Recorder
from tests.integration.pipeline.test_modes import job
from worker.pipeline import prune as pruning
from worker.pipeline.job import inputs


class Net(nn.Module):
    """A small network that also makes tensors of its own, as position encodings do."""

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv3, self.bn3 = nn.Conv2d(8, 12, 3, 2, padding=1), nn.BatchNorm2d(12)
        self.fc = nn.Linear(12, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)) + y)
        y = y + torch.arange(8, dtype=y.dtype, device=y.device) / 100
        y = torch.relu(self.bn3(self.conv3(y)))
        logits: Tensor = self.fc(y.mean((2, 3)) + torch.zeros(12))
        return logits


@cache
def program_of(net: type[nn.Module]) -> Program:
    """Return a network with 8 x 8 images as inputs, exported outside of the mode."""
    with _disable_current_modes(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.manual_seed(0)
        return from_exported(export(net().eval(), (torch.randn(2, 1, 8, 8),)))


class Counted(Recorder):
    """A reporter after whose stages the operators are counted."""

    def begin(self, stage: Any) -> None:
        super().begin(stage)
        COUNT.part = str(stage.value)


@contextmanager
def _stages_apart() -> Iterator[None]:
    """Count evaluations under their own name; export outside of the mode, as torch must."""
    whole, export = inputs.evaluate, pruning.export

    def evaluate(*args: Any) -> Any:
        with COUNT.named("evaluation"):
            return whole(*args)

    def export_plainly(*args: Any) -> Any:
        with _disable_current_modes():
            return export(*args)

    inputs.evaluate, pruning.export = evaluate, export_plainly
    try:
        yield
    finally:
        inputs.evaluate, pruning.export = whole, export


def run(
    folder: Path, config: dict[str, Any], device: str, data: Path | None = None
) -> tuple[Report, dict[str, Tensor]]:
    """Run a job and return its report and the weights of its network."""
    torch.manual_seed(0)
    request, _ = job(folder, config, model=Net().eval(), data=data)
    request = request.model_copy(update={"device": device})
    torch.manual_seed(request.config.seed)
    if device == "cpu":
        pruning.prune(request, Recorder())
    else:
        with Simulation(), _stages_apart():
            pruning.prune(request, Counted())
    report = Report.model_validate_json((request.output_dir / "report.json").read_text())
    program = read_program(request.output_dir / "pruned.pt2")
    return report, dict(program.tensors)
