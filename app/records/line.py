"""The line of a queue: who is next, and how far away everybody is.

Tenants take turns: the next job is the oldest of the tenant with the fewest jobs running, so that a
thousand jobs of one tenant do not keep another's first one waiting. A doorbell says only that
something waits; which job it is, is decided here when a worker has time.

A tenant that runs as many pruning jobs as its quota allows, or has used its compute time of the
day, is passed until that changes. On PostgreSQL workers that claim within the same milliseconds may
run one job too many.

`look_along` plays the claims to come through (`turns`), with what jobs like these took
(`durations`) and what those that run say is left of them.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from app.contracts.job import LEASED, JobState
from app.contracts.tasks import QUEUE_INTAKE
from app.records.database import current_time, database_now
from app.records.durations import (
    Experience,
    JobShape,
    shape_columns,
    shape_of,
    with_sizes,
)
from app.records.tables import JobRow
from app.records.turns import Running, Waiting, foresee
from app.records.usage import compute_seconds
from app.records.workers import list_present

_NUM_RECENT = 20  # jobs whose time `Line.seconds_a_job` is the mean of
_NUM_REMEMBERED = 100  # jobs whose time the estimate of a wait is made of
_LEAST_LEFT = 0.1  # of its time so far, for a job that should have ended by now


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
        waits: Seconds until each queued job begins; None where nothing is known.
        wait_of_next: The same for a job that came after we looked.
    """

    positions: dict[str, int]
    num_running: int
    seconds_a_job: float | None
    waits: dict[str, float | None] = field(default_factory=dict)
    wait_of_next: float | None = None

    def wait_seconds(self, job_id: str) -> float | None:
        """Estimate how long a queued job will wait; None while nothing is known."""
        return self.waits.get(job_id, self.wait_of_next)


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


def look_along(session: Session, queue: str, allowance: Allowance | None = None) -> Line:
    """Return the whole line of a queue, as it would be taken if nothing were added.

    Args:
        session: Only read with.
        queue: Whose line.
        allowance: As in `next_in_line`.
    """
    now = current_time(session)
    took = _took(session, queue)
    leased = session.execute(
        with_sizes(
            select(
                JobRow.tenant,
                JobRow.claimed_at,
                JobRow.seconds_run,
                JobRow.progress,
                *shape_columns(),
            )
        ).where(JobRow.queue == queue, JobRow.state.in_(LEASED))
    ).all()
    shapes = [shape_of(row) for row in leased]
    totals = [
        (shape, row.seconds_run + total)
        for shape, row in zip(shapes, leased, strict=True)
        if (total := _own_estimate(row.progress)) is not None
    ]
    experience = Experience([*totals, *took])
    running = [
        Running(row.tenant, _seconds_left(row, shape, experience, now))
        for row, shape in zip(leased, shapes, strict=True)
    ]
    waiting = _waiting(session, queue, experience, now)
    is_limited = allowance is not None and queue != QUEUE_INTAKE
    spent = compute_seconds(session) if is_limited else {}
    most = allowance.compute_seconds if allowance is not None else 0.0
    held = {tenant for tenant in waiting if is_limited and spent.get(tenant, 0.0) >= most}
    found = foresee(
        {tenant: jobs for tenant, jobs in waiting.items() if tenant not in held},
        running,
        sum(worker.num_slots for worker in list_present(session) if queue in worker.queues),
        allowance.running_jobs if allowance is not None and is_limited else None,
    )
    positions, waits = dict(found.positions), dict(found.waits)
    for tenant in sorted(held):  # until midnight
        for job in waiting[tenant]:
            positions[job.id], waits[job.id] = len(positions), None
    recent = [seconds for _, seconds in took[:_NUM_RECENT]]
    return Line(
        positions=positions,
        num_running=len(leased),
        seconds_a_job=sum(recent) / len(recent) if recent else None,
        waits=waits,
        wait_of_next=found.wait_of_next,
    )


def _took(session: Session, queue: str) -> list[tuple[JobShape, float]]:
    """Return what the newest jobs that succeeded took."""
    query = with_sizes(select(JobRow.seconds_run, *shape_columns()))
    rows = session.execute(
        query.where(JobRow.queue == queue, JobRow.state == JobState.SUCCEEDED)
        .order_by(JobRow.finished_at.desc())
        .limit(_NUM_REMEMBERED)
    )
    return [(shape_of(row), row.seconds_run) for row in rows]


def _waiting(
    session: Session, queue: str, experience: Experience, now: float
) -> dict[str, Sequence[Waiting]]:
    query = with_sizes(
        select(
            JobRow.tenant,
            JobRow.created_at,
            JobRow.id,
            JobRow.not_before,
            JobRow.seconds_run,
            *shape_columns(),
        )
    )
    rows = session.execute(
        query.where(JobRow.queue == queue, JobRow.state == JobState.QUEUED).order_by(
            JobRow.tenant, JobRow.created_at, JobRow.id
        )
    )
    known: dict[JobShape, float | None] = {}
    found: dict[str, list[Waiting]] = defaultdict(list)
    for row in rows:
        shape = shape_of(row)
        if shape not in known:
            known[shape] = experience.expect(shape)
        seconds = known[shape]
        if seconds is not None:  # an attempt before has done part of it
            seconds = max(seconds - row.seconds_run, _LEAST_LEFT * seconds)
        due = max(0.0, (row.not_before or now) - now)
        found[row.tenant].append(Waiting(row.id, row.created_at, seconds, due))
    return dict(found)


def _own_estimate(progress: dict[str, Any] | None) -> float | None:
    """Return how long an attempt that runs will have run, by its own word."""
    elapsed, left = (progress or {}).get("elapsed_seconds"), (progress or {}).get("eta_seconds")
    return None if elapsed is None or left is None else elapsed + left


def _seconds_left(row: Any, shape: JobShape, experience: Experience, now: float) -> float | None:  # noqa: ANN401  # a row of a query
    """Return how long a job that runs still will."""
    ran = max(0.0, now - (row.claimed_at or now))
    total = _own_estimate(row.progress)
    if total is None:
        expected = experience.expect(shape)
        total = None if expected is None else expected - row.seconds_run
    return None if total is None else max(total - ran, _LEAST_LEFT * ran)


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
