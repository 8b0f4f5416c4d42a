"""Widths for a device of the user, by latencies that it measured."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from app.contracts.bench import LayerKey
from app.contracts.job import JobKind, Stage
from secateur.engine.errors import PlanError
from secateur.engine.graph import analyse
from secateur.engine.latency import bench_of
from tests.fixtures.jobs import Recorder, request_for, save_model
from tests.fixtures.latencies import as_csv, latency_rows, proportional
from tests.fixtures.networks import SmallNet, randomise, small_program
from worker.messages import LatenciesInput
from worker.pipeline.job.inputs import open_inputs
from worker.pipeline.job.results import Choice
from worker.pipeline.preview import preview
from worker.pipeline.prune import prune
from worker.pipeline.report.doubts import target_notes
from worker.pipeline.stages.saliency import measure_saliency
from worker.pipeline.stages.select import choose
from worker.results import check_result

WIDTH = 64
PROGRAM = small_program(width=WIDTH)
BENCH = bench_of(PROGRAM, analyse(PROGRAM))
BUDGET = {"mode": "budget", "latency": 0.4, "round_to": "auto", "min_channels": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("target") / "model.pt2"
    return save_model(randomise(SmallNet(WIDTH)), (torch.randn(2, 1, 8, 8),), path)


def request(model: Path, folder: Path, data: bytes, **selection: Any) -> Any:
    path = folder / "latencies"
    path.write_bytes(data)
    config = {"selection": {**BUDGET, "target": "lat_test", **selection}}
    given = LatenciesInput(path=path, id="lat_test", name="my board")
    return request_for(model, folder, config, latencies=given)


def chosen(model: Path, folder: Path, data: bytes, **selection: Any) -> Choice:
    reporter = Recorder()
    reporter.begin(Stage.SELECT)
    inputs = open_inputs(request(model, folder, data, **selection), reporter)
    return choose(inputs, measure_saliency(inputs))


def widths(choice: Choice) -> list[int]:
    return [len(family.kept) for family in choice.plan.families]


def cheap_at(width: int) -> bytes:
    """Return latencies of a device on which one width costs next to nothing."""

    def seconds(key: LayerKey) -> float:
        return proportional(key) * (0.05 if key.out_channels == width else 1.0)

    return as_csv(latency_rows(BENCH, seconds=seconds))


@pytest.mark.parametrize("selection", [{}, {"mode": "ratio", "ratio": 0.5}])
def test_the_width_that_is_cheap_on_the_device_is_chosen(
    model: Path, tmp_path: Path, selection: dict[str, Any]
) -> None:
    if selection:
        selection = {**selection, "latency": None}
    found = {cheap: widths(chosen(model, tmp_path, cheap_at(cheap))) for cheap in (24, 48)}
    assert 24 in found[24]
    assert 24 not in found[48]
    assert 48 in found[48]
    assert 48 not in found[24]


def test_the_choice_says_whose_latencies_decided_and_what_they_predict(
    model: Path, tmp_path: Path
) -> None:
    data = as_csv(latency_rows(BENCH, network=1.0))
    target = chosen(model, tmp_path, data).target
    assert target is not None
    assert (target.id, target.device, target.num_threads) == ("lat_test", "board", 4)
    assert target.is_dense_measured
    assert target.dense_seconds == 1.0
    assert 0.2 < target.predicted <= 0.4
    assert target.predicted == target.predicted_seconds
    planned = preview(request(model, tmp_path, data), Recorder())
    assert planned.result["target"] == target.model_dump(mode="json")
    check_result(JobKind.PLAN, planned)
    [note] = target_notes(target)
    for text in ("'my board' (lat_test)", "board measured with onnxruntime 1.20.0 and 4 threads"):
        assert text in note
    assert f"predict {target.predicted:.3f} of the dense latency in fp32" in note
    assert "secateur_bench.py --confirm model.onnx base.onnx --runtime onnxruntime" in note


def test_int8_layers_count_against_the_dense_fp32_network(model: Path, tmp_path: Path) -> None:
    """Layers that are twice as fast in int8 leave room for wider ones."""
    fp32 = latency_rows(BENCH)
    int8 = latency_rows(BENCH, seconds=lambda k: proportional(k) / 2, precisions=("int8",))
    data = as_csv([*fp32, *int8])
    plain = chosen(model, tmp_path, data)
    both = chosen(model, tmp_path, data, precision="int8")
    assert both.plan.num_removed < plain.plan.num_removed
    assert both.target is not None
    assert both.target.predicted <= 0.4


def test_a_job_reports_its_target(model: Path, tmp_path: Path) -> None:
    done = prune(request(model, tmp_path, as_csv(latency_rows(BENCH))), Recorder())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["target"]["name"] == "my board"
    assert not report["target"]["is_dense_measured"]
    assert any("secateur_bench.py --confirm" in note for note in report["notes"])
    assert "my board" in (tmp_path / "out" / "report.html").read_text()
    assert done.report["bench"]["id"] != BENCH["id"]  # the pruned network has other layers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bench": "f" * 16}, "of another model"),
        ({"num_rounds": "x"}, "row 2: num_rounds"),
        ({"precision": "int8"}, "no fp32 rows"),
    ],
)
def test_latencies_that_do_not_fit_are_refused_by_the_job(
    model: Path, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    data = as_csv([{**row, **change} for row in latency_rows(BENCH)])
    with pytest.raises(PlanError, match=f"'my board' cannot be used: .*{message}"):
        chosen(model, tmp_path, data)
