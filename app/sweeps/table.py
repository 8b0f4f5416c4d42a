"""The table of a sweep: one row per point, from the results of its jobs."""

from collections.abc import Sequence
from typing import Any

from app.contracts.job import JobState
from app.contracts.report import LOWER_IS_BETTER
from app.records.stored import Network, Summary, summary_of
from app.records.tables import JobRow
from app.sweeps.pareto import pareto_front
from app.sweeps.schemas import SweepRow

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
    summary = summary_of(job)
    dense, after, metric = summary.dense, summary.retrained, summary.metric
    if job.state != JobState.SUCCEEDED or dense is None or after is None:
        return row
    split, value, interval = after.measured(metric)
    share, latency_interval = _latency_share(summary, dense, after)
    return row.model_copy(
        update={
            "model": (job.result or {}).get("model"),
            "metric": metric,
            "split": split,
            "value": value,
            "interval": interval,
            "dense_value": dense.measured(metric).value,
            "macs": after.macs,
            "macs_share": after.macs / max(1, dense.macs),
            "num_parameters": after.num_parameters,
            "params_share": after.num_parameters / max(1, dense.num_parameters),
            "latency_share": share,
            "latency_interval": latency_interval,
            "was_busy": summary.load.is_busy if summary.load is not None else None,
        }
    )


def _latency_share(
    summary: Summary, dense: Network, after: Network
) -> tuple[float | None, tuple[float, float] | None]:
    """Return the share of the dense latency, with its interval where it was measured in rounds."""
    for found in summary.speedups:
        if found.batch_size == _BATCH_SIZE:
            return 1 / found.ratio, (1 / found.high, 1 / found.low)
    return _share(_latency(after), _latency(dense)), None


def _latency(network: Network) -> float | None:
    times = {found.batch_size: found.p50 for found in network.latency_seconds}
    return times.get(_BATCH_SIZE)


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
