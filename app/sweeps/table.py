"""The table of a sweep: one row per point, from the results of its jobs."""

from collections.abc import Sequence
from typing import Any

from app.contracts.job import JobState
from app.contracts.report import LOWER_IS_BETTER
from app.records.tables import JobRow
from app.sweeps.pareto import pareto_front
from app.sweeps.schemas import SweepRow

_SPLITS = ("test", "validation")  # in order of preference
_BATCH_SIZE = 1


def make_table(points: Sequence[tuple[dict[str, Any], JobRow]]) -> list[SweepRow]:
    """Return one row per point, in order, with the Pareto fronts marked."""
    rows = [_row(point, job) for point, job in points]
    for cost, mark in (
        ("macs_share", "is_pareto_macs"),
        ("latency_share", "is_pareto_latency"),
    ):
        found = [
            (index, getattr(row, cost), row.value)
            for index, row in enumerate(rows)
            if getattr(row, cost) is not None and row.value is not None
        ]
        sign = -1.0 if any(rows[i].metric in LOWER_IS_BETTER for i, *_ in found) else 1.0
        front = pareto_front([(c, sign * float(v)) for _, c, v in found])
        for (index, *_), is_front in zip(found, front, strict=True):
            rows[index] = rows[index].model_copy(update={mark: is_front})
    return rows


def _row(point: dict[str, Any], job: JobRow) -> SweepRow:
    error = (job.error or {}).get("code")
    row = SweepRow(job=job.id, status=job.state, point=point, error=error)
    if job.state != JobState.SUCCEEDED or job.result is None:
        return row
    summary = job.result["summary"]
    dense, after = summary["dense"], summary["retrained"]
    metric = summary.get("metric", "top1")  # None: no samples to measure with
    split, value, interval = _metric(after, metric)
    share, latency_interval = _latency_share(summary)
    return row.model_copy(
        update={
            "model": job.result["model"],
            "metric": metric,
            "split": split,
            "value": value,
            "interval": interval,
            "dense_value": _metric(dense, metric)[1],
            "macs": after["macs"],
            "macs_share": after["macs"] / max(1, dense["macs"]),
            "num_parameters": after["num_parameters"],
            "params_share": after["num_parameters"] / max(1, dense["num_parameters"]),
            "latency_share": share,
            "latency_interval": latency_interval,
            "was_busy": (summary.get("load") or {}).get("is_busy"),
        }
    )


def _metric(
    network: dict[str, Any], name: str | None
) -> tuple[str | None, float | None, tuple[float, ...] | None]:
    """Return split, value and interval of a network's metric, measured with torch."""
    for split in _SPLITS:
        for found in network["metrics"]:
            if name and found["split"] == split and found["runtime"] == "torch":
                interval = found.get("interval")
                return split, found.get(name), None if interval is None else tuple(interval)
    return None, None, None


def _latency_share(summary: dict[str, Any]) -> tuple[float | None, tuple[float, float] | None]:
    """Return the share of the dense latency, with its interval where it was measured in rounds."""
    for found in summary.get("speedups", ()):
        if found["batch_size"] == _BATCH_SIZE:
            return 1 / found["ratio"], (1 / found["high"], 1 / found["low"])
    return _share(_latency(summary["retrained"]), _latency(summary["dense"])), None


def _latency(network: dict[str, Any]) -> float | None:
    times = {found["batch_size"]: found["p50"] for found in network["latency_seconds"]}
    return times.get(_BATCH_SIZE)


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
