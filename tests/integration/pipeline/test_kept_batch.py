"""Jobs with a network whose batch stays fixed: one sample a run, without a dimension for it."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from app.contracts.report import Report
from tests.fixtures.jobs import Recorder, dataset_input, model_input, request_for
from tests.fixtures.networks import SmallNet
from tests.integration.pipeline.test_modes import samples, save_data
from worker.pipeline.intake import intake_model
from worker.pipeline.prune import prune


class Squeezed(nn.Module):
    """Classifier whose scores have no dimension for its one sample."""

    def __init__(self) -> None:
        super().__init__()
        self.net = SmallNet()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(x).squeeze(0)
        return scores


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt2"
    torch.manual_seed(0)
    torch.export.save(torch.export.export(Squeezed().eval(), (torch.randn(1, 1, 8, 8),)), path)
    return path


def test_a_job_repairs_trains_and_exports_with_the_batch(model: Path, tmp_path: Path) -> None:
    x, y = samples(96)
    config = {
        "selection": {"mode": "budget", "macs": 0.5, "round_to": 1, "min_channels": 2},
        "criterion": {"kind": "taylor", "num_samples": 24},
        "repair": {"kind": "reconstruct"},
        "retrain": {"epochs": 1, "batch_size": 16},
        "precision": {"kind": "int8", "target": "tensorrt", "max_drop": 0.99},
        "export": {"formats": ["pt2", "onnx"]},
    }
    data = dataset_input(save_data(tmp_path, x=x, y=y))
    request = request_for(model, tmp_path, config, dataset=data)
    reporter = Recorder()
    done = prune(request, reporter)
    report = Report.model_validate_json((request.output_dir / "report.json").read_text())
    assert report.equivalence.is_exact
    assert report.equivalence.float64_max_relative_error < 1e-9
    assert report.retrained.metrics[0].num_samples == report.dense.metrics[0].num_samples > 0
    assert report.int8 is not None
    assert report.int8.is_kept, report.int8.reason
    assert any("Every run takes one sample" in note for note in report.notes)
    assert done.onnx == "model.onnx"
    session = ort.InferenceSession(request.output_dir / "model.onnx")
    (scores,) = session.run(None, {session.get_inputs()[0].name: x[:1]})
    live = torch.export.load(request.output_dir / "pruned.pt2").module()
    np.testing.assert_allclose(scores, live(torch.from_numpy(x[:1])).detach(), atol=1e-4)
    assert scores.shape == (4,)


def test_intake_says_that_the_batch_stays(model: Path, tmp_path: Path) -> None:
    request = request_for(model, tmp_path, {})
    done = intake_model(request.model_copy(update={"model": model_input(model)}), Recorder())
    assert any("Every run takes one sample" in note for note in done.report["notes"])
    assert done.onnx == "model.onnx"
