"""Result tables: every measured number is shown with its interval."""

import io
from typing import Any

from rich.console import Console

from app.cli.output import result_table
from secateur.types import JobResult
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


def test_a_result_of_an_older_release_is_shown_without_intervals() -> None:
    body = summary()
    for name in ("dense", "pruned", "retrained"):
        for measured in body[name]["metrics"]:
            del measured["interval"], measured["change"]
    del body["speedups"], body["load"], body["repaired"]
    text = printed(result(body))
    assert "0.9243" in text
    assert "measurable" not in text
