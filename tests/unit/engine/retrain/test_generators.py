"""A training run on the CPU leaves GPUs alone: their driver may not survive the fork before it."""

import pytest
import torch

from secateur.engine.retrain.generators import fork_generators


def test_the_callers_generator_is_unchanged_and_no_gpu_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a GPU was asked")

    monkeypatch.setattr(torch.cuda, "device_count", refuse)
    monkeypatch.setattr(torch.cuda, "get_rng_state", refuse)
    before = torch.get_rng_state()
    with fork_generators(torch.device("cpu")):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
