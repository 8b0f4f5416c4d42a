"""The line of a queue: who is next, and how far away everybody is.

Tenants take turns: the next job is the oldest of the tenant with the fewest jobs running, so that a
thousand jobs of one tenant do not keep another's first one waiting. A doorbell says only that
something waits; which job it is, is decided here when a worker has time.

A tenant that runs as many pruning jobs as its quota allows, or has used its compute time of the
day, is passed until that changes. Its jobs stay queued, and keep their places in what `look_along`
estimates. On PostgreSQL workers that claim within the same milliseconds may run one job too many.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from app.contracts.database import database_now
from app.contracts.job import LEASED, JobState
from app.contracts.repositories.usage import compute_seconds
from app.contracts.tables import JobRow
from app.contracts.tasks import QUEUE_INTAKE

_NUM_RECENT = 20  # jobs whose time the estimate of a wait is made of


@dataclass(frozen=True)
class Allowance:
    """What each tenant may run.

    Attributes:
        running_jobs: At once.
        compute_seconds: On one day.
    """

    running_jobs: int
    compute_seconds: float


@dataclass(frozen=True)
class Line:
    """A queue at one moment.

    Attributes:
        positions: Jobs ahead of each queued job.
        num_running: Jobs that run.
        seconds_a_job: What the newest finished jobs took on average; None before the first.
    """

    positions: dict[str, int]
    num_running: int
    seconds_a_job: float | None

    def wait_seconds(self, position: int) -> float | None:
        """Estimate how long the job at a position will wait; None while nothing is known."""
        if self.seconds_a_job is None:
            return None
        # The jobs that run now are half done on average.
        rounds = position / max(1, self.num_running) + (0.5 if self.num_running else 0.0)
        return round(rounds * self.seconds_a_job, 1)


def next_in_line(
    session: Session,
    queue: str,
    passed: Collection[str] = (),
    allowance: Allowance | None = None,
) -> str | None:
    """Return the id of the job that a free worker of ``queue`` should take, or None.

    Args:
        session: Locks nothing; claiming does.
        queue: Whose line.
        passed: Jobs that somebody else turned out to have.
        allowance: Of every tenant; verdicts are never held back by it.
    """
    waiting = session.execute(
        select(JobRow.tenant, func.min(JobRow.created_at))
        .where(*_due(queue), JobRow.id.not_in(passed))
        .group_by(JobRow.tenant)
    ).all()
    running = _running(session, queue)
    if allowance is not None and queue != QUEUE_INTAKE:
        seconds = compute_seconds(session)
        waiting = [
            row
            for row in waiting
            if running.get(row.tenant, 0) < allowance.running_jobs
            and seconds.get(row.tenant, 0.0) < allowance.compute_seconds
        ]
    if not waiting:
        return None
    tenant, _ = min(waiting, key=lambda row: (running.get(row[0], 0), row[1], row[0]))
    return session.scalar(
        select(JobRow.id)
        .where(*_due(queue), JobRow.tenant == tenant, JobRow.id.not_in(passed))
        .order_by(JobRow.created_at, JobRow.id)
        .limit(1)
    )


def look_along(session: Session, queue: str) -> Line:
    """Return the whole line of a queue, as it would be taken if nothing were added."""
    running = _running(session, queue)
    waiting: dict[str, list[tuple[float, str]]] = defaultdict(list)
    query = (
        select(JobRow.tenant, JobRow.created_at, JobRow.id)
        .where(JobRow.queue == queue, JobRow.state == JobState.QUEUED)
        .order_by(JobRow.tenant, JobRow.created_at, JobRow.id)
    )
    for tenant, created_at, job_id in session.execute(query):
        waiting[tenant].append((created_at, job_id))
    # In round r every tenant has one job taken; whoever runs r jobs already joins in round r.
    order = sorted(
        (running.get(tenant, 0) + number, created_at, job_id)
        for tenant, jobs in waiting.items()
        for number, (created_at, job_id) in enumerate(jobs)
    )
    took = session.scalars(
        select(JobRow.seconds_run)
        .where(JobRow.queue == queue, JobRow.state == JobState.SUCCEEDED)
        .order_by(JobRow.finished_at.desc())
        .limit(_NUM_RECENT)
    ).all()
    return Line(
        positions={job_id: number for number, (_, _, job_id) in enumerate(order)},
        num_running=sum(running.values()),
        seconds_a_job=sum(took) / len(took) if took else None,
    )


def _running(session: Session, queue: str) -> dict[str, int]:
    query = (
        select(JobRow.tenant, func.count().label("number"))
        .where(JobRow.queue == queue, JobRow.state.in_(LEASED))
        .group_by(JobRow.tenant)
    )
    return {row.tenant: row.number for row in session.execute(query)}


def _due(queue: str) -> tuple[ColumnElement[bool], ...]:
    is_due = or_(JobRow.not_before.is_(None), JobRow.not_before <= database_now())
    return JobRow.queue == queue, JobRow.state == JobState.QUEUED, is_due
