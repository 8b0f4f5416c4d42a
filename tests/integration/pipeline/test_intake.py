"""Messages of intake about networks that it cannot serve."""

from pathlib import Path

import pytest
import torch

from secateur.engine.errors import ExportError
from tests.fixtures.jobs import Recorder, request_for, save_model
from tests.fixtures.networks import randomise
from tests.integration.cli.test_engine_cli import MixedWeights
from worker.pipeline.intake import intake_model


def test_a_network_that_onnx_cannot_represent_gets_advice(tmp_path: Path) -> None:
    path = save_model(randomise(MixedWeights()), (torch.randn(2, 1, 8, 8),), tmp_path / "m.pt2")
    with pytest.raises(
        ExportError, match=r"for every sample.*or prune without ONNX: secateur-engi"
    ):
        intake_model(request_for(path, tmp_path, {}), Recorder())
