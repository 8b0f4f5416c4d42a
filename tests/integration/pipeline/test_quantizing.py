"""Jobs that ask for an int8 file: what is written, judged, told and served."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch

from app.contracts.job import Stage
from app.contracts.report import Report
from secateur.engine.quantize import this_cpu
from tests.fixtures import cells
from tests.fixtures.jobs import Recorder, dataset_input, model_input, request_for, save_model
from tests.fixtures.onnx_graphs import saved
from tests.fixtures.pages import read_page
from tests.integration.pipeline.test_modes import TwoHeads, job, samples, save_data
from tests.integration.pipeline.test_onnx_jobs import folded
from tests.integration.pipeline.test_repairing import _JOB
from worker.messages import JobRequest, Progress, StageStarted, Succeeded
from worker.pipeline.prune import prune

# A file for TensorRT is kept whatever its speed here, so these jobs have one on every machine.
ELSEWHERE = {"kind": "int8", "target": "tensorrt", "max_drop": 0.1}
LIGHT = {"selection": {"mode": "ratio", "ratio": 0.25, "round_to": 1}, "retrain": {"epochs": 0}}
FILES = {"export": {"formats": ["onnx"]}}


def run(request: JobRequest) -> tuple[Report, Recorder, Succeeded]:
    reporter = Recorder()
    done = prune(request, reporter)
    text = (request.output_dir / "report.json").read_text()
    return Report.model_validate_json(text), reporter, done


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report, Recorder, Succeeded]:
    """A job with labels and a file for another processor."""
    folder = tmp_path_factory.mktemp("elsewhere")
    request, _ = job(folder, {**LIGHT, **FILES, "precision": ELSEWHERE})
    return folder / "out", *run(request)


def test_a_job_has_an_int8_file_that_its_labels_have_judged(
    elsewhere: tuple[Path, Report, Recorder, Succeeded],
) -> None:
    out, report, reporter, done = elsewhere
    found = report.int8
    assert found is not None
    assert found.is_kept, found.reason
    assert (found.metric, found.target) == ("top1", "tensorrt")
    assert found.before is not None
    assert found.after is not None
    assert found.before - found.after <= 0.1
    assert report.data is not None
    assert found.num_samples == min(256, report.data.splits["train"])
    assert found.agreement is not None
    assert found.agreement > 0.8
    assert {each.split for each in found.metrics} == {"validation", "test"}
    assert found.file_bytes is not None
    assert found.file_bytes[1] == (out / "model_int8.onnx").stat().st_size
    assert "model_int8.onnx" in {file.name for file in done.files}
    manifest = json.loads((out / "manifest.json").read_text())
    assert "model_int8.onnx" in manifest["files"]
    stages = [m.stage for m in reporter.messages if isinstance(m, StageStarted)]
    assert stages == list(Stage)
    fractions = [m.fraction for m in reporter.messages if isinstance(m, Progress)]
    assert fractions == sorted(fractions)


def test_a_file_for_another_processor_is_an_artifact_and_not_served(
    elsewhere: tuple[Path, Report, Recorder, Succeeded],
) -> None:
    out, report, _, done = elsewhere
    assert report.int8 is not None
    assert not report.int8.is_served
    assert done.int8 is None
    assert done.report["int8"]["is_served"] is False
    text = read_page((out / "report.html").read_text()).words()
    assert "The equivalence certificate ends at the fp32 network" in text
    assert "its speed is to be measured there" in text


def test_a_file_for_the_processor_that_serves_is_served_only_if_it_is_faster(
    tmp_path: Path,
) -> None:
    request, _ = job(tmp_path, {**LIGHT, **FILES, "precision": {"kind": "int8", "max_drop": 0.5}})
    cpu = "arm" if this_cpu() == "vnni" else "vnni"  # the setting, not this machine
    report, _, done = run(request.model_copy(update={"serving_cpu": cpu}))
    assert report.int8 is not None
    assert report.int8.target == cpu
    is_there = (tmp_path / "out/model_int8.onnx").exists()
    assert report.int8.is_kept == report.int8.is_served == is_there
    assert done.int8 == ("model_int8.onnx" if is_there else None)
    speedup = report.int8.speedups[0]
    assert is_there or "1.05x is required" in report.int8.reason
    assert not is_there or (speedup.ratio >= 1.05 and speedup.low > 1)
    assert done.result["summary"]["int8"]["reason"] == report.int8.reason


def test_without_labels_the_fp32_file_is_the_judge(tmp_path: Path) -> None:
    x, _ = samples(60)
    request, _ = job(
        tmp_path, {**LIGHT, **FILES, "precision": ELSEWHERE}, data=save_data(tmp_path, x=x)
    )
    report, _, _ = run(request)
    assert report.int8 is not None
    assert report.int8.metric == "agreement"
    assert report.int8.before == 1.0
    assert report.int8.agreement == report.int8.after


def test_a_network_with_two_outputs_gets_a_file_that_answers_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x, _ = samples(64)
    request, _ = job(
        tmp_path,
        {**LIGHT, **FILES, "precision": ELSEWHERE},
        model=TwoHeads(),
        data=save_data(tmp_path, x=x),
    )
    report, _, _ = run(request)
    assert report.int8 is not None
    assert report.int8.is_kept, report.int8.reason
    assert "The file is for tensorrt, and its speed was measured here" in report.int8.reason
    files = (tmp_path / "out/model.onnx", tmp_path / "out/model_int8.onnx")
    fp32, int8 = (ort.InferenceSession(file).run(None, {"x": x[:8]}) for file in files)
    for one, other in zip(fp32, int8, strict=True):
        assert np.abs(one - other).max() < 0.1 * np.abs(one).max()


@pytest.mark.parametrize(("kind", "metric"), [("boxes", "map50_95"), ("texts", "exact")])
def test_every_task_judges_int8_by_its_own_metric(kind: str, metric: str, tmp_path: Path) -> None:
    shape = (8, 64) if kind == "texts" else (32, 32)
    write = {"boxes": cells.coco, "texts": cells.texts}[kind]
    grids = cells.lines(32) if kind == "texts" else cells.grids(32)
    model = save_model(cells.Reader(kind), (torch.rand(2, 3, *shape),), tmp_path / "model.pt2")
    given = dataset_input(write(grids, tmp_path), format="zip")
    config: dict[str, Any] = {**LIGHT, **FILES, "precision": ELSEWHERE}
    report, _, _ = run(request_for(model, tmp_path, config, dataset=given))
    assert report.int8 is not None
    assert report.int8.metric == metric
    assert report.int8.is_kept, report.int8.reason


def test_an_onnx_file_becomes_int8_as_well(tmp_path: Path) -> None:
    x, y = samples(120)
    data = dataset_input(save_data(tmp_path, x=x, y=y))
    config = {**LIGHT, **FILES, "precision": {**ELSEWHERE, "max_drop": 0.9}}
    request = request_for(saved(folded(), tmp_path), tmp_path, config, dataset=data)
    request = request.model_copy(
        update={"model": model_input(tmp_path / "model.onnx", format="onnx")}
    )
    report, _, _ = run(request)
    assert report.int8 is not None
    assert report.int8.is_kept, report.int8.reason


def test_a_job_killed_while_it_quantizes_ends_with_the_same_file(
    elsewhere: tuple[Path, Report, Recorder, Succeeded], tmp_path: Path
) -> None:
    killed, _ = job(tmp_path / "killed", {**LIGHT, **FILES, "precision": ELSEWHERE})
    path = tmp_path / "request.json"
    path.write_text(killed.model_dump_json())
    reads, writes = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", _JOB, str(path), str(writes)], pass_fds=[writes]
    )
    os.close(writes)
    stages = []
    with os.fdopen(reads) as messages:
        for line in messages:
            message = json.loads(line)
            if message["type"] == "stage":
                stages.append(message["stage"])
            if stages[-1:] == ["quantize"] and process.poll() is None:
                process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert stages[-1] == "quantize", "it was killed in the stage"
    run(killed)
    one, other = (folder / "model_int8.onnx" for folder in (elsewhere[0], killed.output_dir))
    assert one.read_bytes() == other.read_bytes()


def test_a_job_without_int8_has_no_such_stage(tmp_path: Path) -> None:
    request, _ = job(tmp_path, {**LIGHT, "export": {"formats": ["pt2"]}})
    report, reporter, done = run(request)
    assert report.int8 is None
    assert done.int8 is None
    stages = [m.stage for m in reporter.messages if isinstance(m, StageStarted)]
    assert stages == [stage for stage in Stage if stage is not Stage.QUANTIZE]
