"""A pass that runs out of memory is repeated with smaller batches, down to one sample."""

import pytest
import torch

from worker.pipeline.job.batches import Batches


def test_a_pass_that_runs_out_of_memory_is_repeated_with_half_of_the_batch() -> None:
    warnings: list[str] = []
    batches, sizes = Batches(torch.device("cpu"), warnings.append), list[int]()

    def compute(size: int) -> str:
        sizes.append(size)
        if size > 64:
            raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB")
        return f"{size} at a time"

    assert batches.run("evaluation", 256, compute) == "64 at a time"
    assert batches.run("evaluation", 256, compute) == "64 at a time"
    assert batches.run("repair", 32, compute) == "32 at a time"
    assert sizes == [256, 128, 64, 64, 32], "the size that fits is remembered"
    assert "evaluation with 256 samples at a time ran out of memory: 128 instead" in warnings
    assert len(warnings) == 2


def test_a_single_sample_that_does_not_fit_and_other_errors_are_raised() -> None:
    batches, sizes = Batches(torch.device("cpu"), lambda _: None), list[int]()

    def compute(size: int) -> None:
        sizes.append(size)
        raise MemoryError

    with pytest.raises(MemoryError):
        batches.run("evaluation", 4, compute)
    assert sizes == [4, 2, 1]

    def fail(size: int) -> None:
        sizes.append(size)
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        batches.run("recalibration", 4, fail)
    assert sizes == [4, 2, 1, 4]
