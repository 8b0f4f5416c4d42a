"""A job measures the same network on the same samples once."""

from pathlib import Path
from typing import Any

import pytest
import torch

from secateur.engine.metrics import Metrics
from tests.integration.pipeline.test_modes import job
from worker.pipeline.data import Split
from worker.pipeline.job import inputs as module
from worker.pipeline.job.inputs import open_inputs


def test_the_same_weights_on_the_same_samples_are_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def counting(*arguments: Any) -> Metrics:
        measured.append(1)
        return evaluate(*arguments)

    evaluate = module.evaluate
    monkeypatch.setattr(module, "evaluate", counting)
    inputs = open_inputs(*job(tmp_path, {}))
    dense = inputs.program
    copy = dense.map_tensors(torch.clone)
    first = inputs.score(dense, Split.VALIDATION)
    assert inputs.score(copy, Split.VALIDATION) is first
    assert len(measured) == 1
    name = next(name for name, tensor in dense.tensors.items() if tensor.is_floating_point())
    other = dense.with_tensors({**dense.tensors, name: -dense.tensors[name]})
    found = inputs.score(other, Split.VALIDATION)
    assert found is not None
    assert first is not None
    assert found.loss != first.loss, "other weights are another network"
    assert inputs.score(dense, Split.TEST) is not first
    assert inputs.score(dense, Split.VALIDATION, 5) is not first, "other samples"
    assert len(measured) == 4
