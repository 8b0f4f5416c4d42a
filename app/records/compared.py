"""What a sweep compares of its jobs: cost and quality of each result, and the Pareto fronts."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.contracts.job import JobState
from app.contracts.report import LOWER_IS_BETTER
from app.records.pareto import pareto_front
from app.records.stored import Measured, Network, Summary, summary_of
from app.records.tables import JobRow

_BATCH_SIZE = 1


@dataclass(frozen=True)
class Compared:
    """Result of a job, in numbers.

    Attributes:
        summary: Everything that the job reported.
        dense: The dense network.
        after: The network that is the result.
        metric: Name of the compared metric.
        measured: The result's metric.
        macs_share: Share of the dense network's multiply-accumulates.
        latency_share: Share of its latency at batch 1.
        latency_interval: 95 % interval of that share; None: it was not measured in rounds.
    """

    summary: Summary
    dense: Network
    after: Network
    metric: str | None
    measured: Measured
    macs_share: float
    latency_share: float | None
    latency_interval: tuple[float, float] | None


def compared(job: JobRow) -> Compared | None:
    """Return the result of a job; None if it has none."""
    summary = summary_of(job)
    dense, after, metric = summary.dense, summary.retrained, summary.metric
    if job.state != JobState.SUCCEEDED or dense is None or after is None:
        return None
    share, interval = _latency_share(summary, dense, after)
    macs = after.macs / max(1, dense.macs)
    return Compared(summary, dense, after, metric, after.measured(metric), macs, share, interval)


def fronts(results: Sequence[Compared | None]) -> list[tuple[bool, bool]]:
    """Return for each result whether it is Pareto-optimal in MACs, and in latency."""
    is_lower = any(found is not None and found.metric in LOWER_IS_BETTER for found in results)
    sign = -1.0 if is_lower else 1.0
    shares = (
        [None if found is None else found.macs_share for found in results],
        [None if found is None else found.latency_share for found in results],
    )
    marks = [[False] * len(results), [False] * len(results)]
    for costs, mark in zip(shares, marks, strict=True):
        found = [
            (index, cost, sign * result.measured.value)
            for index, (cost, result) in enumerate(zip(costs, results, strict=True))
            if cost is not None and result is not None and result.measured.value is not None
        ]
        front = pareto_front([(cost, value) for _, cost, value in found])
        for (index, *_), is_front in zip(found, front, strict=True):
            mark[index] = is_front
    return list(zip(*marks, strict=True))


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
