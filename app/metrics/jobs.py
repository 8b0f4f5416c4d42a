"""Job counts by kind, queue and state, read from the database on scrape.

Every API process reports the same counts. Rows are counted at most once every few seconds.
"""

import time
from collections.abc import Callable, Iterable

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from app.contracts.job import JobState
from app.records.database import Sessions, current_time, reading
from app.records.tables import JobRow

log = structlog.get_logger(__name__)

_TTL_SECONDS = 5.0

Counts = tuple[list[tuple[str, str, str, int]], list[tuple[str, float]]]


class JobsCollector(Collector):
    """Collector of job counts; yields nothing without a database, so other metrics survive."""

    def __init__(self, sessions: Sessions, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions, self._clock = sessions, clock
        self._found: tuple[float, Counts] | None = None

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the metrics."""
        try:
            states, oldest = self._counts()
        except SQLAlchemyError:
            log.warning("metrics.no_database", exc_info=True)
            return
        jobs = GaugeMetricFamily("secateur_jobs", "Jobs.", labels=("kind", "queue", "state"))
        for kind, queue, state, number in states:
            jobs.add_metric((kind, queue, state), number)
        yield jobs
        wait = GaugeMetricFamily(
            "secateur_job_oldest_queued_seconds",
            "Longest wait of a queued job.",
            labels=("queue",),
        )
        for queue, seconds in oldest:
            wait.add_metric((queue,), seconds)
        yield wait

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return names without querying the database, which may be absent at registration."""
        yield GaugeMetricFamily("secateur_jobs", "Jobs.")
        yield GaugeMetricFamily("secateur_job_oldest_queued_seconds", "The longest wait.")

    def _counts(self) -> Counts:
        now = self._clock()
        if self._found is not None and now - self._found[0] < _TTL_SECONDS:
            return self._found[1]
        by_state = select(JobRow.kind, JobRow.queue, JobRow.state, func.count()).group_by(
            JobRow.kind, JobRow.queue, JobRow.state
        )
        by_queue = (
            select(JobRow.queue, func.min(JobRow.queued_at))
            .where(JobRow.state == JobState.QUEUED)
            .group_by(JobRow.queue)
        )
        with reading(self._sessions) as session:
            time_now = current_time(session)
            states = [
                (kind, queue, state, number)
                for kind, queue, state, number in session.execute(by_state)
            ]
            oldest = [
                (queue, max(0.0, time_now - (since or time_now)))
                for queue, since in session.execute(by_queue)
            ]
        self._found = (now, (states, oldest))
        return states, oldest
