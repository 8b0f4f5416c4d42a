"""The line of a queue: the next job, and the position and estimated wait of each queued job.

Tenants take turns. The next job is the oldest job of the tenant with the fewest running jobs; among
several, of the tenant that was served least recently. So a thousand jobs of one tenant do not delay
another's first, even with one worker. A doorbell only says that a job waits; a free worker chooses
the job here.

A tenant at its quota of running jobs, or out of compute time for the day, is skipped until that
changes. On PostgreSQL, workers that claim within the same milliseconds may exceed the quota by one
job. Intake jobs have a quota of their own, which leaves a slot to other tenants.

`look_along` simulates future claims (`turns`). It uses the durations of similar jobs (`durations`)
and the remaining time that running jobs report.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self

from sqlalchemy import ColumnElement, Row, Select, func, or_, select, true, union_all
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.contracts.job import LEASED, JobState
from app.contracts.settings import QuotaSettings
from app.contracts.tasks import QUEUE_INTAKE
from app.records.database import current_time, database_now
from app.records.durations import (
    Experience,
    JobShape,
    shape_columns,
    shape_of,
    with_sizes,
)
from app.records.queued import count_queued
from app.records.tables import JobRow, QueuePauseRow, TurnRow
from app.records.turns import NEVER, Running, Waiting, foresee
from app.records.usage import compute_seconds
from app.records.workers import list_present

_MOST_FORESEEN = 400  # jobs whose exact positions are computed; a tenant gets at least the next
_LEAST_FORESEEN = 10
_TENANTS_A_QUERY = 100
_NUM_RECENT = 20  # latest jobs averaged in `Line.seconds_a_job`
_NUM_REMEMBERED = 100  # latest jobs that wait estimates are based on
_LEAST_GAP_SECONDS = 0.001  # between two turns; a time of today has six digits after the point
_LEAST_LEFT = 0.1  # least remaining fraction of a job: it may be overdue


@dataclass(frozen=True)
class Allowance:
    """Quota of each tenant.

    Attributes:
        running_jobs: Maximum jobs at once.
        compute_seconds: Maximum compute time per day, in seconds; never applies to intake jobs.
        running_intakes: Maximum intake jobs at once; None for no limit.
    """

    running_jobs: int
    compute_seconds: float
    running_intakes: int | None = None

    @classmethod
    def of(cls, quotas: QuotaSettings) -> Self:
        """Return the allowance that the settings give to each tenant."""
        return cls(quotas.running_jobs, quotas.compute_seconds, quotas.running_intakes)

    def most_running(self, queue: str) -> int | None:
        """Return the maximum jobs at once in a queue."""
        return self.running_intakes if queue == QUEUE_INTAKE else self.running_jobs


QueuedJob = JobRow | Row[*tuple[Any, ...]]  # with the columns id, tenant and created_at


@dataclass(frozen=True)
class Rest:
    """The queued jobs of one tenant behind those whose exact positions are computed.

    Attributes:
        num_before: Jobs of the tenant whose positions are computed.
        number: Jobs behind them.
        since: Time the last of those before was posted, in seconds since the epoch.
        until: Time the last job was posted.
    """

    num_before: int
    number: int
    since: float
    until: float

    def rank(self, created_at: float) -> float:
        """Return about how many jobs of the tenant come first, as if they were posted evenly."""
        share = (created_at - self.since) / max(self.until - self.since, 1e-9)
        return self.num_before + max(0.0, min(1.0, share)) * (self.number - 1)


@dataclass(frozen=True)
class Line:
    """Snapshot of a queue.

    Attributes:
        positions: Number of jobs ahead of each queued job, by job id; exact for the first jobs of
            each tenant, absent for those in `rests`.
        num_waiting: Number of queued jobs by tenant.
        rests: What is behind the first jobs, by tenant.
        num_slots: Number of jobs that the workers run at once.
        num_running: Number of running jobs.
        seconds_a_job: Mean duration of the latest successful jobs; None before the first.
        waits: Estimated seconds until each queued job starts, by job id; None if unknown.
        wait_of_next: Estimated wait in seconds of a job that is posted next; None if unknown.
    """

    positions: dict[str, int]
    num_running: int
    seconds_a_job: float | None
    waits: dict[str, float | None] = field(default_factory=dict)
    wait_of_next: float | None = None
    num_waiting: Mapping[str, int] = field(default_factory=dict)
    rests: Mapping[str, Rest] = field(default_factory=dict)
    num_slots: int = 0

    @property
    def length(self) -> int:
        """Number of queued jobs."""
        return sum(self.num_waiting.values())

    def knows(self, job: QueuedJob) -> bool:
        """Return whether the job was queued when the snapshot was taken."""
        return job.id in self.positions or self._is_in_rest(job)

    def position(self, job: QueuedJob) -> int:
        """Return the number of jobs ahead of a queued job; about, far back in a long line."""
        exact = self.positions.get(job.id)
        if exact is not None:
            return exact
        if not self._is_in_rest(job):
            return self.length  # newer than the snapshot
        rank = self.rests[job.tenant].rank(job.created_at)
        # Tenants take turns: each has had as many, or all that it has.
        others = (n for tenant, n in self.num_waiting.items() if tenant != job.tenant)
        return round(rank + sum(min(n, rank) for n in others))

    def wait_seconds(self, job: QueuedJob) -> float | None:
        """Return the estimated wait of a queued job in seconds; None if unknown."""
        if job.id in self.waits:
            return self.waits[job.id]
        if not self._is_in_rest(job):
            return self.wait_of_next
        return self._rough_wait(self.position(job))

    def _is_in_rest(self, job: QueuedJob) -> bool:
        rest = self.rests.get(job.tenant)
        return rest is not None and job.created_at <= rest.until

    def _rough_wait(self, position: int) -> float | None:
        if self.seconds_a_job is None or not self.num_slots:
            return None
        return round(position * self.seconds_a_job / self.num_slots, 1)


def next_in_line(
    session: Session,
    queue: str,
    passed: Collection[str] = (),
    allowance: Allowance | None = None,
    is_ours: ColumnElement[bool] | None = None,
) -> str | None:
    """Return the id of the job that a free worker of ``queue`` should claim, or None.

    Args:
        session: The transaction. No row is locked; `leases.claim` locks the job.
        queue: Name of the queue.
        passed: Jobs to skip because another worker claimed them.
        allowance: Quota of each tenant; None for no limit.
        is_ours: Condition on the jobs that the worker may claim; None for any job.
    """
    are_ours = (true() if is_ours is None else is_ours, JobRow.id.not_in(passed))
    waiting = session.execute(_oldest_of_each_tenant(queue, are_ours)).all()
    running = _running(session, queue)
    if allowance is not None:
        held = _out_of_time(session, queue, allowance, [row.tenant for row in waiting])
        most = allowance.most_running(queue)
        waiting = [
            row
            for row in waiting
            if (most is None or running.get(row.tenant, 0) < most) and row.tenant not in held
        ]
    if not waiting:
        return None
    served = _served(session, queue)
    tenant, _ = min(
        waiting,
        key=lambda row: (running.get(row[0], 0), served.get(row[0], NEVER), row[1], row[0]),
    )
    return session.scalar(
        select(JobRow.id)
        .where(*_due(queue), JobRow.tenant == tenant, *are_ours)
        .order_by(JobRow.created_at, JobRow.id)
        .limit(1)
    )


def note_turn(session: Session, job: JobRow) -> None:
    """Record that a job of its tenant was claimed, later than all other claims of the queue.

    If the database's clock was set back, the others would have been served in the future, and this
    tenant would come first until then.
    """
    newest = select(func.max(TurnRow.served_at)).where(TurnRow.queue == job.queue)
    now = max(current_time(session), (session.scalar(newest) or 0.0) + _LEAST_GAP_SECONDS)
    key = job.queue, job.tenant
    turn = session.get(TurnRow, key, with_for_update=True)
    if turn is not None:
        turn.served_at = now
        return
    with suppress(IntegrityError), session.begin_nested():  # another worker may insert it first
        session.add(TurnRow(queue=job.queue, tenant=job.tenant, served_at=now))


def look_along(session: Session, queue: str, allowance: Allowance | None = None) -> Line:
    """Return the line of a queue, as it would be served if no job were added.

    Args:
        session: The transaction; only read from.
        queue: Name of the queue.
        allowance: Quota of each tenant; None for no limit.
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
    queued = count_queued(session, queue)
    num_waiting = {tenant: each.number for tenant, each in queued.items()}
    waiting = _waiting(session, queue, _foreseen(num_waiting), experience, now)
    held = set() if allowance is None else _out_of_time(session, queue, allowance, waiting)
    is_paused = session.get(QueuePauseRow, queue) is not None
    num_slots = sum(
        each.num_slots
        for each in list_present(session)
        if queue in each.queues and each.cordoned_at is None and not is_paused
    )
    found = foresee(
        {tenant: jobs for tenant, jobs in waiting.items() if tenant not in held},
        running,
        num_slots,
        allowance.most_running(queue) if allowance is not None else None,
        _served(session, queue),
        {tenant: num_waiting[tenant] - len(jobs) for tenant, jobs in waiting.items()},
    )
    positions = dict(found.positions)
    waits = dict.fromkeys(found.waits) if is_paused else dict(found.waits)
    num_ahead = sum(number for tenant, number in num_waiting.items() if tenant not in held)
    for tenant in sorted(held):  # skipped until midnight
        for place, job in enumerate(waiting[tenant]):
            positions[job.id], waits[job.id] = num_ahead + place, None
        num_ahead += num_waiting[tenant]
    recent = [seconds for _, seconds in took[:_NUM_RECENT]]
    rests = {
        tenant: Rest(
            len(jobs), num_waiting[tenant] - len(jobs), jobs[-1].created_at, queued[tenant].newest
        )
        for tenant, jobs in waiting.items()
        if len(jobs) < num_waiting[tenant]
    }
    return Line(
        positions=positions,
        num_running=len(leased),
        seconds_a_job=sum(recent) / len(recent) if recent else None,
        waits=waits,
        wait_of_next=None if rests or is_paused else found.wait_of_next,
        num_waiting=num_waiting,
        rests=rests,
        num_slots=num_slots,
    )


def _took(session: Session, queue: str) -> list[tuple[JobShape, float]]:
    """Return shape and duration in seconds of the latest successful jobs.

    The condition on the state is a range, so that only the index on queue, state and end has the
    order. PostgreSQL would choose the one on the end alone, and read all jobs that have none.
    """
    query = with_sizes(select(JobRow.seconds_run, *shape_columns()))
    has_succeeded = JobRow.state.between(JobState.SUCCEEDED, JobState.SUCCEEDED)
    rows = session.execute(
        query.where(JobRow.queue == queue, has_succeeded)
        .order_by(JobRow.state.desc(), JobRow.finished_at.desc())
        .limit(_NUM_REMEMBERED)
    )
    return [(shape_of(row), row.seconds_run) for row in rows]


def _foreseen(num_waiting: Mapping[str, int]) -> dict[str, int]:
    """Return how many jobs of each tenant are foreseen: all of those with few, first."""
    found, left = {}, _MOST_FORESEEN
    tenants = sorted(num_waiting, key=lambda tenant: (num_waiting[tenant], tenant))
    for index, tenant in enumerate(tenants):
        share = max(_LEAST_FORESEEN, left // (len(tenants) - index))
        found[tenant] = min(num_waiting[tenant], share)
        left -= found[tenant]
    return found


def _first_of_each(queue: str, numbers: Mapping[str, int]) -> Select[str]:
    """Select the ids of the first queued jobs of each tenant, as many as its number."""
    firsts = [
        select(
            select(JobRow.id)
            .where(JobRow.queue == queue, JobRow.state == JobState.QUEUED, JobRow.tenant == tenant)
            .order_by(JobRow.created_at, JobRow.id)
            .limit(number)
            .subquery()
            .c.id
        )
        for tenant, number in numbers.items()
    ]
    return select(union_all(*firsts).subquery().c.id)


def _waiting(
    session: Session, queue: str, numbers: Mapping[str, int], experience: Experience, now: float
) -> dict[str, Sequence[Waiting]]:
    """Return the first queued jobs of each tenant, as many as its number."""
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
    rows: list[Row[*tuple[Any, ...]]] = []
    tenants = iter(numbers.items())
    while part := dict(islice(tenants, _TENANTS_A_QUERY)):
        first = _first_of_each(queue, part)
        order = JobRow.tenant, JobRow.created_at, JobRow.id
        rows += session.execute(query.where(JobRow.id.in_(first)).order_by(*order)).all()
    known: dict[JobShape, float | None] = {}
    found: dict[str, list[Waiting]] = defaultdict(list)
    for row in rows:
        shape = shape_of(row)
        if shape not in known:
            known[shape] = experience.expect(shape)
        seconds = known[shape]
        if seconds is not None:  # an earlier attempt did part of the work
            seconds = max(seconds - row.seconds_run, _LEAST_LEFT * seconds)
        due = max(0.0, (row.not_before or now) - now)
        found[row.tenant].append(Waiting(row.id, row.created_at, seconds, due))
    return dict(found)


def _own_estimate(progress: dict[str, Any] | None) -> float | None:
    """Return the total seconds of a running attempt, by its own estimate; None without one."""
    elapsed, left = (progress or {}).get("elapsed_seconds"), (progress or {}).get("eta_seconds")
    return None if elapsed is None or left is None else elapsed + left


def _seconds_left(row: Any, shape: JobShape, experience: Experience, now: float) -> float | None:  # noqa: ANN401  # a result row
    """Return the estimated remaining seconds of a running job; None if unknown."""
    ran = max(0.0, now - (row.claimed_at or now))
    total = _own_estimate(row.progress)
    if total is None:
        expected = experience.expect(shape)
        total = None if expected is None else expected - row.seconds_run
    return None if total is None else max(total - ran, _LEAST_LEFT * ran)


def _out_of_time(
    session: Session, queue: str, allowance: Allowance, tenants: Iterable[str]
) -> set[str]:
    """Return which tenants have used up their compute time of today."""
    if queue == QUEUE_INTAKE:
        return set()
    spent, most = compute_seconds(session), allowance.compute_seconds
    return {tenant for tenant in tenants if spent.get(tenant, 0.0) >= most}


def _served(session: Session, queue: str) -> dict[str, float]:
    """Return when each tenant was last served."""
    query = select(TurnRow.tenant, TurnRow.served_at).where(TurnRow.queue == queue)
    return {row.tenant: row.served_at for row in session.execute(query)}


def _running(session: Session, queue: str) -> dict[str, int]:
    query = (
        select(JobRow.tenant, func.count().label("number"))
        .where(JobRow.queue == queue, JobRow.state.in_(LEASED))
        .group_by(JobRow.tenant)
    )
    return {row.tenant: row.number for row in session.execute(query)}


def _oldest_of_each_tenant(
    queue: str, are_ours: Collection[ColumnElement[bool]]
) -> Select[str, float]:
    """Select each tenant with a due job, and when its oldest due job was posted.

    It reads one index entry per tenant, however many jobs wait: SQLite and PostgreSQL would read
    all entries to group them.
    """
    is_queued = JobRow.queue == queue, JobRow.state == JobState.QUEUED
    tenant = select(JobRow.tenant).where(*is_queued).order_by(JobRow.tenant).limit(1)
    first = select(tenant.scalar_subquery().label("tenant")).cte("waiting", recursive=True)
    after = tenant.where(JobRow.tenant > first.c.tenant).scalar_subquery()
    tenants = first.union_all(select(after).where(first.c.tenant.is_not(None)))
    oldest = (
        select(JobRow.created_at)
        .where(*_due(queue), JobRow.tenant == tenants.c.tenant, *are_ours)
        .order_by(JobRow.created_at)
        .limit(1)
        .scalar_subquery()
    )
    heads = select(tenants.c.tenant, oldest.label("created_at")).subquery()
    return select(heads.c.tenant, heads.c.created_at).where(heads.c.created_at.is_not(None))


def _due(queue: str) -> tuple[ColumnElement[bool], ...]:
    is_due = or_(JobRow.not_before.is_(None), JobRow.not_before <= database_now())
    return JobRow.queue == queue, JobRow.state == JobState.QUEUED, is_due
