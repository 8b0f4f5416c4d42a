"""Numbers on their way into the report."""

import pytest
import torch
from torch import nn

from secateur.engine.errors import DataError, DivergenceError, EngineError
from secateur.engine.program.exported import export, from_exported
from worker.pipeline.job.failures import _CODES, to_failed
from worker.pipeline.report.describe import finite, unused_inputs


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.5, 1.5), (None, None), (float("nan"), None), (float("inf"), None), (0.0, 0.0)],
)
def test_a_number_that_json_cannot_hold_becomes_null(
    value: float | None, expected: float | None
) -> None:
    assert finite(value) == expected


def test_every_engine_error_has_a_failure_code() -> None:
    assert set(EngineError.__subclasses__()) <= set(_CODES)
    failed = to_failed(DivergenceError("the loss became nan"), None)
    assert (failed.code, failed.message) == ("nan_loss", "the loss became nan")


def test_what_is_not_ours_is_internal_and_says_nothing_of_itself() -> None:
    failed = to_failed(KeyError("/secret/path"), None)
    assert failed.code == "internal"
    assert "secret" not in failed.message


def test_running_out_of_memory_is_recognised() -> None:
    torch_says = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    assert to_failed(torch_says, None).code == "out_of_memory"
    assert to_failed(MemoryError(), None).code == "out_of_memory"
    assert len(to_failed(DataError("x" * 9999), None).message) == 2000


class IgnoresMask(nn.Module):
    """Takes two inputs and reads one."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        return torch.relu(x)


def test_an_input_that_nothing_reads_is_noted() -> None:
    inputs = torch.zeros(2, 3), torch.zeros(2, 1)
    [note] = unused_inputs(from_exported(export(IgnoresMask(), inputs)))
    assert "'mask' is not used" in note
