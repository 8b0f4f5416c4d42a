"""Whole jobs with mismatched samples, or with training that does not help."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from app.contracts.job import FailureCode, Stage
from app.contracts.report import Report
from app.contracts.spec import NO_PREPROCESS
from secateur.engine.errors import DataError, DataMismatchError
from tests.fixtures.jobs import Recorder
from tests.integration.pipeline.test_modes import job, samples, save_data, trained_net
from worker.messages import JobRequest, StageStarted, Warned
from worker.pipeline.job.failures import to_failed
from worker.pipeline.preview import preview
from worker.pipeline.prune import prune

STOP: dict[str, Any] = {"sanity": {"action": "stop"}, "retrain": {"epochs": 0}}


def wrong(folder: Path) -> Path:
    """Save samples in another range than in training."""
    x, y = samples()
    return save_data(folder, x=x * 60 + 100, y=y)


def test_samples_in_another_range_stop_a_job_before_anything_is_pruned(tmp_path: Path) -> None:
    request, reporter = job(tmp_path, STOP, data=wrong(tmp_path / "data"))
    with pytest.raises(DataMismatchError) as caught:
        prune(request, reporter)
    message = str(caught.value)
    assert "is not distributed as in training" in message
    assert "Nothing was pruned" in message
    assert "mean 100" in message
    failed = to_failed(caught.value, Stage.INTAKE)
    assert "preprocess" in failed.hint
    assert '{"sanity": {"action": "warn"}}' in failed.hint
    stages = [m.stage for m in reporter.messages if isinstance(m, StageStarted)]
    assert stages == [Stage.INTAKE]
    assert failed.code is FailureCode.DATA_DOES_NOT_FIT
    assert not list(request.output_dir.iterdir())


def test_statistics_that_lag_behind_the_weights_are_named_as_the_cause(tmp_path: Path) -> None:
    net = trained_net()
    last = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)][-1]
    assert last.running_mean is not None
    assert last.running_var is not None
    last.running_mean += 4 * last.running_var.sqrt()
    with pytest.raises(DataMismatchError) as caught:
        prune(*job(tmp_path, STOP, net))
    assert "with BatchNorm statistics measured on them" in str(caught.value)
    assert "have not settled" in caught.value.hint
    assert "model.train()" in caught.value.hint
    assert "likely cause is preprocessing" not in caught.value.hint


class OfPixels(nn.Module):
    """A network for the samples of `pixels`, scaled to 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.net = trained_net()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.net((x * 255 - 128) / 8)
        return y


def pixels(folder: Path, **more: np.ndarray) -> Path:
    x, y = samples()
    return save_data(folder, x=(x * 8 + 128).clip(0, 255).astype(np.uint8), **{"y": y, **more})


def warned(request: JobRequest, reporter: Recorder) -> list[Warned]:
    preview(request, reporter)
    found = [m for m in reporter.messages if isinstance(m, Warned)]
    return [m for m in found if m.message.startswith("no preprocessing was given")]


def test_missing_preprocessing_is_only_noted_if_the_score_is_right(tmp_path: Path) -> None:
    data = pixels(tmp_path / "data")
    (found,) = warned(*job(tmp_path, STOP, OfPixels(), data))
    assert found.replaces == NO_PREPROCESS
    assert re.search(r"shows that this is right \(top1 (1|0\.\d+) on 288 samples\)", found.message)
    (found,) = warned(
        *job(tmp_path / "off", {**STOP, "sanity": {"action": "off"}}, OfPixels(), data)
    )
    assert (found.message, found.replaces) == (NO_PREPROCESS, None)
    (found,) = warned(*job(tmp_path / "wrong", STOP, trained_net(), data))
    assert (found.message, found.replaces) == (NO_PREPROCESS, None)


def test_shifted_samples_without_labels_stop_a_job(tmp_path: Path) -> None:
    x, _ = samples()
    data = save_data(tmp_path / "data", x=x * 60 + 100)
    request, reporter = job(tmp_path, STOP, data=data)
    with pytest.raises(DataMismatchError, match="BatchNorm"):
        prune(request, reporter)


def test_warnings_appear_in_the_report_the_page_and_the_result(tmp_path: Path) -> None:
    config = {**STOP, "sanity": {"action": "warn"}}
    request, reporter = job(tmp_path, config, data=wrong(tmp_path / "data"))
    done = prune(request, reporter)
    report = Report.model_validate_json((request.output_dir / "report.json").read_text())
    codes = {finding.code for finding in report.findings}
    assert "inputs_unlike_training" in codes
    assert {finding.severity for finding in report.findings} == {"serious"}
    assert [f["code"] for f in done.result["summary"]["findings"]] == [
        finding.code for finding in report.findings
    ]
    told = [m for m in reporter.messages if isinstance(m, Warned) and m.severity == "serious"]
    assert [m.code for m in told] == [finding.code for finding in report.findings]
    page = (request.output_dir / "report.html").read_text()
    assert 'class="notes serious"' in page
    off, silent = job(tmp_path / "off", {**STOP, "sanity": {"action": "off"}})
    prune(off, silent)
    assert silent.findings == []


def test_a_preview_warns_where_a_job_would_stop(tmp_path: Path) -> None:
    request, reporter = job(tmp_path, STOP, data=wrong(tmp_path / "data"))
    found = preview(request, reporter).result
    assert "inputs_unlike_training" in {finding["code"] for finding in found["findings"]}
    assert found["findings"][0]["message"] in found["warnings"]


def test_labels_in_another_order_stop_a_job(tmp_path: Path) -> None:
    x, y = samples()
    data = save_data(tmp_path / "data", x=x, y=np.array([1, 2, 3, 0])[y])
    request, reporter = job(tmp_path, STOP, data=data)
    with pytest.raises(DataMismatchError, match="labels are in another order"):
        prune(request, reporter)


def test_expectations_stop_a_job_or_are_refused(tmp_path: Path) -> None:
    for name, expected, error, words in (
        ("met", {"accuracy": 0.7}, None, ""),
        ("missed", {"top1": 1.0}, DataMismatchError, "1 was expected"),
        ("strange", {"mean_error": 0.1}, DataError, "expected.mean_error cannot be measured"),
    ):
        request, reporter = job(tmp_path / name, {**STOP, "expected": expected})
        if error is None:
            prune(request, reporter)
            assert reporter.findings == []
        else:
            with pytest.raises(error, match=words):
                prune(request, reporter)


def test_training_that_makes_it_worse_is_not_the_result(tmp_path: Path) -> None:
    retrain = {"epochs": 2, "batch_size": 32, "optimizer": {"learning_rate": 9.0}}
    config = {"retrain": retrain, "selection": {"mode": "ratio", "ratio": 0.1, "round_to": 1}}
    request, reporter = job(tmp_path, {**config, "sanity": {"action": "stop"}})
    prune(request, reporter)
    report = Report.model_validate_json((request.output_dir / "report.json").read_text())
    assert report.kept is not None
    assert report.kept.what in {"pruned", "recalibrated"}
    assert [finding.code for finding in report.findings] == ["training_did_not_help"]
    after = report.retrained.metrics[0].top1
    assert after is not None
    assert after == report.kept.value
    assert after >= (report.recalibrated_metrics[0].top1 or 0.0)
    assert report.epochs is not None
    assert report.epochs.asked == 2
    assert "is the result" in report.findings[0].message
