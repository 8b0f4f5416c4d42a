"""Job counts by kind, queue and state, read from the database on scrape.

Every API process reports the same counts. Rows are counted at most once every few seconds, and jobs
that ended more than a minute ago once an hour: their number only grows, and counting them reads the
whole history.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.contracts.job import JobState
from app.contracts.tasks import QUEUES
from app.records.database import Sessions, current_time, reading
from app.records.tables import JobRow

log = structlog.get_logger(__name__)

_TTL_SECONDS = 5.0
_RECOUNT_SECONDS = 3600.0  # jobs are removed (`records.retention`)
# A job ends at the database's time, but its transaction commits a moment later.
_SETTLED_SECONDS = 60.0
_FINAL = [state for state in JobState if state.is_final]
_LIVE = [state for state in JobState if not state.is_final]

Counts = tuple[dict[tuple[str, str, str], int], list[tuple[str, float]]]


class JobsCollector(Collector):
    """Collector of job counts; yields nothing without a database, so other metrics survive."""

    def __init__(self, sessions: Sessions, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions, self._clock = sessions, clock
        self._found: tuple[float, Counts] | None = None
        self._settled: Counter[tuple[str, str, str]] = Counter()  # ended before `_settled_to`
        self._settled_to = 0.0
        self._counted_at = -math.inf

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the metrics."""
        try:
            states, oldest = self._counts()
        except SQLAlchemyError:
            log.warning("metrics.no_database", exc_info=True)
            return
        jobs = _jobs()
        for labels, number in states.items():
            jobs.add_metric(labels, number)
        yield jobs
        wait = _waits()
        for queue, seconds in oldest:
            wait.add_metric((queue,), seconds)
        yield wait

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return names without querying the database, which may be absent at registration."""
        yield _jobs()
        yield _waits()

    def _counts(self) -> Counts:
        now = self._clock()
        if self._found is not None and now - self._found[0] < _TTL_SECONDS:
            return self._found[1]
        with reading(self._sessions) as session:
            time_now = current_time(session)
            states = self._by_state(session, time_now, now)
            waits: dict[str, float] = {}
            for kind, queue, state in states:
                if state == JobState.QUEUED:
                    wait = max(0.0, time_now - _oldest(session, kind, queue, time_now))
                    waits[queue] = max(wait, waits.get(queue, 0.0))
            oldest = list(waits.items())
        self._found = (now, (states, oldest))
        return states, oldest

    def _by_state(
        self, session: Session, time_now: float, now: float
    ) -> dict[tuple[str, str, str], int]:
        """Count all jobs; of those that ended long ago only the ones not counted before."""
        settled_to = max(self._settled_to, time_now - _SETTLED_SECONDS)
        if now - self._counted_at >= _RECOUNT_SECONDS:
            self._counted_at = now
            self._settled = _count(
                session, JobRow.state.in_(_FINAL), JobRow.finished_at < settled_to
            )
        else:
            self._settled += _ended_between(session, self._settled_to, settled_to)
        self._settled_to = settled_to
        live = _count(session, JobRow.queue.in_(QUEUES), JobRow.state.in_(_LIVE))
        return self._settled + live + _ended_between(session, settled_to, math.inf)


def _oldest(session: Session, kind: str, queue: str, default: float) -> float:
    """Return when the job that waits longest was queued: one entry of the index."""
    query = select(func.min(JobRow.queued_at)).where(
        JobRow.queue == queue, JobRow.state == JobState.QUEUED, JobRow.kind == kind
    )
    return session.scalar(query) or default


def _ended_between(session: Session, since: float, until: float) -> Counter[tuple[str, str, str]]:
    """Count jobs that ended in a short time.

    The database does not group: for that it would choose an index other than that on the time.
    """
    columns = JobRow.kind, JobRow.queue, JobRow.state
    rows = session.execute(
        select(*columns).where(JobRow.finished_at >= since, JobRow.finished_at < until)
    )
    return Counter((kind, queue, state) for kind, queue, state in rows if state in _FINAL)


def _count(session: Session, *conditions: ColumnElement[bool]) -> Counter[tuple[str, str, str]]:
    columns = JobRow.kind, JobRow.queue, JobRow.state
    query = select(*columns, func.count()).where(*conditions).group_by(*columns)
    return Counter({(kind, queue, state): n for kind, queue, state, n in session.execute(query)})


def _jobs() -> GaugeMetricFamily:
    return GaugeMetricFamily("secateur_jobs", "Jobs.", labels=("kind", "queue", "state"))


def _waits() -> GaugeMetricFamily:
    name, text = "secateur_job_oldest_queued_seconds", "Longest wait of a queued job."
    return GaugeMetricFamily(name, text, labels=("queue",))
