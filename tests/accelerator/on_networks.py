"""Networks and criteria on the simulated device give what they give on the CPU."""

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.graph import analyse
from secateur.engine.program.module import ProgramModule
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from secateur.engine.surgery import certify
from tests.accelerator.jobs import Net, program_of
from tests.accelerator.simulated import COUNT, Simulation


class MakesTensors(nn.Module):
    """Tensors from nothing, with and without a literal device."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 6, 3, padding=1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y = y + torch.arange(y.shape[3], dtype=torch.float32)
        y = y * torch.full((1, 6, 1, 1), 0.5).to("cpu", torch.float32)
        y = y.flatten(2).transpose(1, 2) + torch.linspace(0, 1, 6, device="cpu")
        logits: Tensor = self.fc(y[:, -1] + torch.zeros(6))
        return logits


def test_tensors_that_a_network_makes_are_made_on_its_device() -> None:
    program, x = program_of(MakesTensors), torch.randn(3, 1, 8, 8)
    expected = ProgramModule(program).eval()(x)
    with Simulation(), COUNT.named("makes"):
        COUNT.work.clear()
        found = ProgramModule(program.to("sim")).eval()(x.to("sim"))
        assert found.device.type == "sim"
        assert COUNT.share("makes") > 0.99
        assert torch.equal(found.cpu(), expected)


@pytest.mark.parametrize("name", list(CRITERIA))
def test_a_criterion_scores_on_the_device_as_on_the_cpu(name: str) -> None:
    program, criterion, options = program_of(Net), CRITERIA[name], SaliencyOptions()
    x, y = torch.randn(24, 1, 8, 8), torch.randint(0, 4, (24,))
    analysis = analyse(program)
    expected = criterion(program, analysis, (CalibrationBatch((x,), y),), options)
    with Simulation(), COUNT.named(name):
        COUNT.work.clear()
        batch = CalibrationBatch((x.to("sim"),), y.to("sim"))
        found = criterion(program.to("sim"), analysis, (batch,), options)
        assert name == "random" or COUNT.share(name) > 0.95
    assert all(scores.device.type == "cpu" for scores in found.values())
    assert all(torch.equal(scores, expected[family]) for family, scores in found.items())


def test_a_loss_is_waited_for_once_a_family() -> None:
    program = program_of(Net)
    analysis = analyse(program)
    with Simulation(), COUNT.named("loss waits"):
        there = program.to("sim")
        batch = CalibrationBatch((torch.randn(8, 1, 8, 8).to("sim"),))
        moved = analysis.to(there.device)
        before = COUNT.waits["loss waits"]
        CRITERIA["loss"].score(there, moved, (batch,), SaliencyOptions())
        waits = COUNT.waits["loss waits"] - before
    assert waits <= len(analysis.families) + 1, COUNT.where["loss waits"]


def test_a_certificate_is_computed_on_the_cpu() -> None:
    program = program_of(Net)
    with Simulation(), COUNT.named("certificate"):
        certify(program, program, [(torch.randn(2, 1, 8, 8),)])
        assert COUNT.work["certificate", "device"] == 0
