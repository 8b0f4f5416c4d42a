"""The table of a sweep: one row per point, from the results of its jobs."""

from collections.abc import Sequence
from typing import Any

from app.records.compared import Compared, compared, fronts
from app.records.sweeps import is_judging
from app.records.tables import JobRow
from app.sweeps.schemas import SweepRow

Place = tuple[dict[str, Any], JobRow]


def make_table(points: Sequence[Place]) -> list[SweepRow]:
    """Return one row per point, in order, with the Pareto fronts marked.

    Args:
        points: Points and their jobs, in the order of the grid. A point may have a judging job and
            a training job.
    """
    rows: list[SweepRow] = []
    results: list[Compared | None] = []
    for point, jobs in _by_point(points):
        judged = next((job for job in jobs if is_judging(job)), None)
        trained = next((job for job in jobs if not is_judging(job)), None)
        row, found = _row(point, judged, trained)
        rows.append(row)
        results.append(found)
    return [
        row.model_copy(update={"is_pareto_macs": is_front, "is_pareto_latency": is_fast})
        for row, (is_front, is_fast) in zip(rows, fronts(results), strict=True)
    ]


def _by_point(points: Sequence[Place]) -> list[tuple[dict[str, Any], list[JobRow]]]:
    """Return each point once, with its jobs."""
    found: dict[int, tuple[dict[str, Any], list[JobRow]]] = {}
    for number, (point, job) in enumerate(points):
        index = -1 - number if job.sweep_index is None else job.sweep_index
        found.setdefault(index, (point, []))[1].append(job)
    return list(found.values())


def _row(
    point: dict[str, Any], judged: JobRow | None, trained: JobRow | None
) -> tuple[SweepRow, Compared | None]:
    """Return the row of a point and its newest result."""
    job = trained or judged
    assert job is not None  # noqa: S101  # a point has a job
    row = SweepRow(
        job=job.id,
        judging_job=judged.id if judged is not None else None,
        status=job.state,
        point=point,
        error=(job.error or {}).get("code"),
    )
    for each in (trained, judged):
        found = None if each is None else compared(each)
        if each is not None and found is not None:
            return row.model_copy(update=_measured(each, found)), found
    return row, None


def _measured(job: JobRow, found: Compared) -> dict[str, Any]:
    """Return the fields of a row that come from a result."""
    summary, dense, after = found.summary, found.dense, found.after
    repaired = summary.repaired
    return {
        "model": (job.result or {}).get("model"),
        "metric": found.metric,
        "split": found.measured.split,
        "value": found.measured.value,
        "interval": found.measured.interval,
        "is_trained": (job.resolved or {}).get("retrain", {}).get("epochs") != 0,
        "repaired_value": None if repaired is None else repaired.measured(found.metric).value,
        "dense_value": dense.measured(found.metric).value,
        "macs": after.macs,
        "macs_share": found.macs_share,
        "num_parameters": after.num_parameters,
        "params_share": after.num_parameters / max(1, dense.num_parameters),
        "latency_share": found.latency_share,
        "latency_interval": found.latency_interval,
        "was_busy": summary.load.is_busy if summary.load is not None else None,
    }
