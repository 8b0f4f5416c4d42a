"""A whole job of an ONNX file whose BatchNorm was folded, in the test's own process."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from app.contracts.report import Report
from tests.fixtures.jobs import Recorder, dataset_input, model_input, request_for
from tests.fixtures.onnx_graphs import drawn, network, node, saved
from tests.integration.pipeline.test_modes import HALF, RETRAIN, samples, save_data
from worker.pipeline.prune import prune

LONGER = {**RETRAIN, "epochs": 6}  # until it is the best network
FEATURES = {**RETRAIN, "distill": {"features": 1.0}}


def folded() -> onnx.ModelProto:
    """Five convolutions with the biases that folding leaves, and a linear layer."""
    nodes, weights, value = [], {}, "x"
    for n in range(5):
        width = 12 if n else 1
        weights |= {f"w{n}": drawn(12, width, 3, 3, seed=n) / width, f"b{n}": drawn(12, seed=n)}
        nodes += [
            node("Conv", f"{value} w{n} b{n}", f"c{n}", pads=[1, 1, 1, 1]),
            node("Relu", f"c{n}", f"r{n}"),
        ]
        value = f"r{n}"
    nodes += [
        node("GlobalAveragePool", value, "p"), node("Flatten", "p", "f"), node("Gemm", "f w b"),
    ]  # fmt: skip
    weights |= {"w": drawn(12, 4), "b": drawn(4)}
    return network(*nodes, x=("n", 1, 8, 8), weights=weights)


@pytest.mark.parametrize(("retrain", "num_unfolded"), [(LONGER, 5), (FEATURES, 0)])
def test_folded_batch_norm_comes_back_for_training_only(
    retrain: dict[str, object], num_unfolded: int, tmp_path: Path
) -> None:
    x, y = samples()
    data = dataset_input(save_data(tmp_path, x=x, y=y))
    config = {"retrain": retrain, "selection": HALF, "export": {"formats": ["onnx"]}}
    path = saved(folded(), tmp_path)
    request = request_for(path, tmp_path, config, dataset=data)
    request = request.model_copy(update={"model": model_input(path, format="onnx")})
    prune(request, Recorder())
    report = Report.model_validate_json((request.output_dir / "report.json").read_text())
    assert report.history
    assert any("had a BatchNorm" in note for note in report.notes) == bool(num_unfolded)
    assert not num_unfolded or report.kept.what == "epoch"
    graph = onnx.load(request.output_dir / "model.onnx").graph
    assert "BatchNormalization" not in {each.op_type for each in graph.node}
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    assert stored["w1"].shape[:2] != (12, 12), stored["w1"].shape
    assert np.isfinite(stored["b1"]).all()
