"""The report's description of a network."""

import torch
from torch import nn

from secateur.engine.program.exported import export, from_exported
from worker.pipeline.report.describe import unused_inputs


class IgnoresMask(nn.Module):
    """Takes two inputs and reads one."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        return torch.relu(x)


def test_an_input_that_nothing_reads_is_noted() -> None:
    inputs = torch.zeros(2, 3), torch.zeros(2, 1)
    [note] = unused_inputs(from_exported(export(IgnoresMask(), inputs)))
    assert "'mask' is not used" in note
