"""The table accepts any job result."""

from typing import Any

import pytest

from app.records.tables import JobRow
from app.sweeps.table import make_table

DENSE = {
    "macs": 100, "num_parameters": 10, "latency_seconds": [{"batch_size": 1, "p50": 2.0}],
    "metrics": [{"split": "validation", "runtime": "torch", "top1": 0.9, "mean_error": 1.0}],
}  # fmt: skip


def job(macs: int, value: float | None, **changes: Any) -> JobRow:
    metrics = [{"split": "validation", "runtime": "torch", "top1": value, "mean_error": value}]
    after = {**DENSE, "macs": macs, "metrics": metrics, **changes.pop("after", {})}
    summary = {"dense": DENSE, "retrained": after, "metric": "top1", **changes}
    result = {"summary": {k: v for k, v in summary.items() if v != "-"}, "model": "mdl_1"}
    return JobRow(id=f"job_{macs}", state="succeeded", error=None, result=result)


def table(*jobs: JobRow) -> list[Any]:
    return list(make_table([({"/seed": n}, each) for n, each in enumerate(jobs)]))


def test_lower_errors_are_better() -> None:
    rows = table(job(50, 0.2, metric="mean_error"), job(60, 0.1, metric="mean_error"),
                 job(70, 0.3, metric="mean_error"))  # fmt: skip
    assert [row.is_pareto_macs for row in rows] == [True, True, False]
    assert [row.value for row in rows] == [0.2, 0.1, 0.3], "as it was measured"


def test_a_result_that_names_no_metric_is_about_accuracy() -> None:
    [row] = table(job(50, 0.8, metric="-"))
    assert (row.metric, row.value, row.dense_value) == ("top1", 0.8, 0.9)


def test_the_test_split_comes_before_the_validation_split() -> None:
    metrics = [*DENSE["metrics"], {"split": "test", "runtime": "torch", "top1": 0.5}]  # type: ignore[misc]
    [row] = table(job(50, 0.8, after={"metrics": metrics}))
    assert (row.split, row.value) == ("test", 0.5)


@pytest.mark.parametrize("latency", [[], [{"batch_size": 8, "p50": 1.0}]])
def test_without_latency_or_value_a_row_is_shown_and_not_judged(latency: list[Any]) -> None:
    rows = table(job(50, 0.8, after={"latency_seconds": latency}), job(60, None, metric=None))
    assert [row.latency_share for row in rows] == [None, 1.0]
    assert [row.is_pareto_macs for row in rows] == [True, False]
    assert not any(row.is_pareto_latency for row in rows)


def test_changes_within_the_noise_are_marked_in_the_row() -> None:
    speedup = {"batch_size": 1, "ratio": 2.0, "low": 1.6, "high": 2.5}
    measured = {"split": "test", "runtime": "torch", "top1": 0.8, "interval": [0.75, 0.84]}
    [row] = table(
        job(50, 0.8, after={"metrics": [measured]}, speedups=[speedup], load={"is_busy": True})
    )
    assert (row.latency_share, row.latency_interval) == (0.5, (0.4, 0.625))
    assert (row.interval, row.was_busy) == ((0.75, 0.84), True)
    [old] = table(job(50, 0.8))
    assert (old.latency_share, old.latency_interval, old.interval) == (1.0, None, None)
