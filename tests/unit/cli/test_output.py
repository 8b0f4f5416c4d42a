"""Result tables: every measured number is shown with its interval."""

import io
from typing import Any

import pytest
from rich.console import Console

from app.cli.output import plan_table, print_verdict, result_table
from secateur.types import JobResult, Plan
from tests.fixtures.shown import summary


def printed(result: JobResult) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(result_table(result))
    return console.export_text()


def result(body: dict[str, Any]) -> JobResult:
    made = {"model": "mdl_1", "version": "2", "infer_url": "/", "artifacts": []}
    return JobResult.model_validate(made | {"summary": body})


def test_a_result_shows_intervals_p95_latency_and_insignificant_changes() -> None:
    text = printed(result(summary()))
    assert "0.9243 (0.9063 to 0.9393)" in text
    assert "no measurable difference" in text
    assert "1.9x (1.7 to 2.1)" in text
    assert "repaired" in text
    assert "0.9181" in text
    assert "0.51 ms (0.77)" in text, "the 95th percentile is shown beside the median"


def test_what_became_of_int8_and_of_export_targets_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    body = summary()
    assert body["int8"]["reason"]
    print_verdict(result(body))
    said = " ".join(capsys.readouterr().err.split())
    assert body["int8"]["reason"] in said
    written = [each["title"] for each in body["export_targets"] if not each.get("refusal")]
    assert f"Also written: {', '.join(written)}." in said
    print_verdict(result(body | {"int8": None, "export_targets": [], "verdict": None}))
    assert capsys.readouterr().err == ""


def test_a_result_of_an_older_release_is_shown_without_intervals() -> None:
    body = summary()
    for name in ("dense", "pruned", "retrained"):
        for measured in body[name]["metrics"]:
            del measured["interval"], measured["change"]
    del body["speedups"], body["load"], body["repaired"]
    text = printed(result(body))
    assert "0.9243" in text
    assert "measurable" not in text


def test_a_plan_shows_quality_after_repair_and_predicted_latency_if_they_are_known() -> None:
    costs = {"macs": 100, "num_parameters": 50}
    body: dict[str, Any] = {
        "config": {}, "fingerprint": "x", "dense": costs, "pruned": costs,
        "left": {"macs": 1.0, "num_parameters": 1.0}, "groups": [], "criteria_agreement": {},
        "latency_trials": [], "warnings": [],
    }  # fmt: skip
    quality = {"metric": "top1", "dense": 0.926, "repaired": 0.918, "num_samples": 1024}
    for found, is_shown in ((quality, True), (None, False)):
        console = Console(file=io.StringIO(), width=120)
        console.print(plan_table(Plan.model_validate(body | {"quality": found})))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert ("top1, repaired" in text) is is_shown
        assert ("0.9180" in text) is is_shown
        assert ("1,024 validation samples" in text) is is_shown
    device = {"device": "board", "runtime": "onnxruntime", "runtime_version": "1", "num_threads": 4}
    target = {
        "id": "lat_1", "name": "my board", "batch_size": 1, "precision": "fp32", **device,
        "dense_seconds": 0.004, "is_dense_measured": True, "predicted_seconds": 0.003,
        "predicted": 0.75,
    }  # fmt: skip
    console = Console(file=io.StringIO(), width=120)
    console.print(plan_table(Plan.model_validate(body | {"target": target})))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(word in text for word in ("latency on my board, predicted", "3.00 ms", "75.0%"))
