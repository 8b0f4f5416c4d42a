"""Job counts by kind, queue and state, read from the database on scrape.

Every API process reports the same counts, and counts at most once every few seconds. Counting the
rows of a long history or a long queue takes long, so what happened more than a minute ago is
counted once an hour: the pruning jobs that were posted, and the jobs that ended. The pruning jobs
that are queued are the difference. If failed jobs were tried again, everything is counted again.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import ColumnElement, func, literal, select, union_all
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.contracts.job import JobKind, JobState
from app.contracts.tasks import QUEUES
from app.records.database import Sessions, current_time, reading
from app.records.tables import JobRow

log = structlog.get_logger(__name__)

_TTL_SECONDS = 5.0
_RECOUNT_SECONDS = 3600.0  # jobs are removed (`records.retention`)
_RETRIED_SECONDS = 60.0  # a failed job may be tried again, but its users must not cause the work
# A job is posted and ends at the database's time, but the transaction commits a moment later.
_SETTLED_SECONDS = 60.0
_FINAL = [state for state in JobState if state.is_final]
_HELD = [state for state in JobState if not state.is_final and state is not JobState.QUEUED]
_OTHER_KINDS = [kind for kind in JobKind if kind is not JobKind.PRUNE]  # their queues are short

Numbers = Counter[tuple[str, str, str]]  # by kind, queue and state
Counts = tuple[dict[tuple[str, str, str], int], list[tuple[str, float]]]


class JobsCollector(Collector):
    """Collector of job counts; yields nothing without a database, so other metrics survive."""

    def __init__(self, sessions: Sessions, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions, self._clock = sessions, clock
        self._found: tuple[float, Counts] | None = None
        self._ended: Numbers = Counter()  # before `_settled_to`
        self._posted: Counter[str] = Counter()  # pruning jobs by queue, before `_settled_to`
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

    def _by_state(self, session: Session, time_now: float, now: float) -> Numbers:
        """Count all jobs; of what is settled, only what was not counted before."""
        is_set_back = time_now < self._settled_to
        settled_to = time_now - _SETTLED_SECONDS
        age = now - self._counted_at
        is_stale = age >= _RETRIED_SECONDS and self._were_failed_retried(session)
        if is_set_back or is_stale or age >= _RECOUNT_SECONDS:
            self._counted_at = now
            self._ended, self._posted = _count_settled(session, settled_to)
        else:
            settled_to = max(settled_to, self._settled_to)
            self._ended += _ended_between(session, self._settled_to, settled_to)
            self._posted += _posted_between(session, self._settled_to, settled_to)
        self._settled_to = settled_to
        posted = self._posted + _posted_between(session, settled_to, math.inf)
        ended = self._ended + _ended_between(session, settled_to, math.inf)
        in_queues = JobRow.queue.in_(QUEUES)  # makes the queries use an index
        others = _count(session, in_queues, JobRow.state.in_(_HELD)) + _count(
            session, in_queues, JobRow.state == JobState.QUEUED, JobRow.kind.in_(_OTHER_KINDS)
        )
        queued = posted.copy()
        for (kind, queue, _), number in (ended + others).items():
            if kind == JobKind.PRUNE:
                queued[queue] -= number
        waiting = {(JobKind.PRUNE, queue, JobState.QUEUED): n for queue, n in queued.items()}
        return ended + others + Counter(waiting)  # a sum leaves out what is not positive

    def _were_failed_retried(self, session: Session) -> bool:
        """Return whether fewer pruning jobs have failed than were counted as failed."""
        counted = sum(
            number
            for (kind, _, state), number in self._ended.items()
            if kind == JobKind.PRUNE and state == JobState.FAILED
        )
        query = select(func.count()).where(
            JobRow.queue.in_(QUEUES),
            JobRow.state == JobState.FAILED,
            JobRow.kind == JobKind.PRUNE,
            JobRow.finished_at < self._settled_to,
        )
        return counted > 0 and session.scalars(query).one() < counted


def _oldest(session: Session, kind: str, queue: str, default: float) -> float:
    """Return when the job that waits longest was queued: one entry of the index."""
    query = select(func.min(JobRow.queued_at)).where(
        JobRow.queue == queue, JobRow.state == JobState.QUEUED, JobRow.kind == kind
    )
    return session.scalar(query) or default


def _ended_between(session: Session, since: float, until: float) -> Numbers:
    """Count jobs that ended in a short time.

    The database does not group: for that it would choose an index other than that on the time.
    """
    columns = JobRow.kind, JobRow.queue, JobRow.state
    rows = session.execute(
        select(*columns).where(JobRow.finished_at >= since, JobRow.finished_at < until)
    )
    return Counter((kind, queue, state) for kind, queue, state in rows if state in _FINAL)


def _posted_between(session: Session, since: float, until: float) -> Counter[str]:
    """Count pruning jobs that were posted in a short time, by queue."""
    rows = session.execute(
        select(JobRow.queue, JobRow.kind).where(
            JobRow.created_at >= since, JobRow.created_at < until
        )
    )
    return Counter(queue for queue, kind in rows if kind == JobKind.PRUNE)


def _count_settled(session: Session, until: float) -> tuple[Numbers, Counter[str]]:
    """Count the jobs that ended, and the pruning jobs that were posted, before a time.

    One statement reads both, so that a job is not removed in between.
    """
    key = JobRow.kind, JobRow.queue, JobRow.state
    ended = (
        select(literal(1).label("is_ended"), *key, func.count().label("number"))
        .where(JobRow.state.in_(_FINAL), JobRow.finished_at < until)
        .group_by(*key)
    )
    posted = (
        select(literal(0), *key, func.count())
        .where(JobRow.kind == JobKind.PRUNE, JobRow.created_at < until)
        .group_by(*key)
    )
    ends, posts = Counter[tuple[str, str, str]](), Counter[str]()
    for is_ended, kind, queue, state, number in session.execute(union_all(ended, posted)):
        if is_ended:
            ends[kind, queue, state] += number
        else:
            posts[queue] += number
    return ends, posts


def _count(session: Session, *conditions: ColumnElement[bool]) -> Numbers:
    columns = JobRow.kind, JobRow.queue, JobRow.state
    query = select(*columns, func.count()).where(*conditions).group_by(*columns)
    return Counter({(kind, queue, state): n for kind, queue, state, n in session.execute(query)})


def _jobs() -> GaugeMetricFamily:
    return GaugeMetricFamily("secateur_jobs", "Jobs.", labels=("kind", "queue", "state"))


def _waits() -> GaugeMetricFamily:
    name, text = "secateur_job_oldest_queued_seconds", "Longest wait of a queued job."
    return GaugeMetricFamily(name, text, labels=("queue",))
