"""Tenants' use of their quotas: waiting and running jobs, stored bytes, daily compute time.

Everything is counted from the rows on request, with covering indexes. Only the compute time of
ended attempts is stored, by day, because the rows of plan jobs are deleted.
"""

import zlib
from collections import defaultdict

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.contracts.job import LEASED, JobState
from app.contracts.tasks import QUEUE_CPU, QUEUE_GPU, QUEUE_INTAKE, QUEUES
from app.records.database import current_time
from app.records.tables import (
    ApiKeyRow,
    ArtifactRow,
    ComputeUseRow,
    DatasetRow,
    JobRow,
    LatenciesRow,
    ModelRow,
)

SECONDS_A_DAY = 86_400
_WAITING = (JobState.VALIDATING, JobState.QUEUED, JobState.PAUSED)
_LOCK_CLASS = 0x5ECA7E  # arbitrary; together with a hash of the tenant, the key of its lock


def hold_tenant(session: Session, tenant: str) -> None:
    """Lock a tenant's quotas until the transaction ends.

    Otherwise two requests could both take the last place. SQLite has only one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        number = zlib.crc32(tenant.encode()) - 2**31  # a collision only costs waiting
        session.execute(select(func.pg_advisory_xact_lock(_LOCK_CLASS, number)))


def count_waiting(session: Session, tenant: str) -> int:
    """Return the number of jobs that are queued, wait for their inputs, or are paused."""
    return _count(session, tenant, JobRow.queue.in_(QUEUES), JobRow.state.in_(_WAITING))


def count_running(session: Session, tenant: str) -> int:
    """Return the number of running pruning jobs."""
    is_pruning = JobRow.queue.in_((QUEUE_CPU, QUEUE_GPU))
    return _count(session, tenant, is_pruning, JobRow.state.in_(LEASED))


def count_intakes(session: Session, tenant: str) -> int:
    """Return the number of running intake jobs."""
    return _count(session, tenant, JobRow.queue == QUEUE_INTAKE, JobRow.state.in_(LEASED))


def count_bytes(session: Session, tenant: str, undo_seconds: float = 0) -> int:
    """Return the bytes of a tenant's uploads and artifacts, and of its jobs' events and results.

    Duplicates count each time. Deleted uploads count for ``undo_seconds``, as long as their files
    are kept.

    The service's own objects do not count: ONNX files of uploads, and checkpoints.
    """
    before = current_time(session) - undo_seconds

    def is_kept(row: type[ModelRow | DatasetRow | LatenciesRow]) -> ColumnElement[bool]:
        return or_(row.deleted_at.is_(None), row.deleted_at > before)

    sums = (
        select(func.sum(ModelRow.num_bytes)).where(
            ModelRow.tenant == tenant, is_kept(ModelRow), ModelRow.job_id.is_(None)
        ),
        select(func.sum(DatasetRow.num_bytes)).where(
            DatasetRow.tenant == tenant, is_kept(DatasetRow)
        ),
        select(func.sum(LatenciesRow.num_bytes)).where(
            LatenciesRow.tenant == tenant, is_kept(LatenciesRow)
        ),
        select(func.sum(ArtifactRow.num_bytes)).where(ArtifactRow.tenant == tenant),
        select(func.sum(JobRow.reported_bytes)).where(JobRow.tenant == tenant),
    )
    return sum(int(session.scalar(query) or 0) for query in sums)


def compute_seconds(session: Session, tenant: str | None = None) -> dict[str, float]:
    """Return today's compute time (UTC) by tenant, including running jobs."""
    now = current_time(session)
    day, midnight = _day(now)
    ended = select(ComputeUseRow.tenant, ComputeUseRow.seconds).where(ComputeUseRow.day == day)
    running = select(JobRow.tenant, JobRow.claimed_at).where(
        JobRow.queue.in_(QUEUES),  # all queues: makes the query use the index on queue and state
        JobRow.state.in_(LEASED),
    )
    if tenant is not None:
        ended = ended.where(ComputeUseRow.tenant == tenant)
        running = running.where(JobRow.tenant == tenant)
    found: defaultdict[str, float] = defaultdict(float)
    for owner, seconds in session.execute(ended):
        found[owner] += seconds
    for owner, claimed_at in session.execute(running):
        found[owner] += max(0.0, now - max(midnight, claimed_at or now))
    return found


def add_compute(session: Session, tenant: str, began_at: float, ended_at: float) -> None:
    """Add an attempt's time to the day on which it ended; earlier days are not charged."""
    day, midnight = _day(ended_at)
    seconds = max(0.0, ended_at - max(midnight, began_at))
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    new = dialect.insert(ComputeUseRow).values(day=day, tenant=tenant, seconds=seconds)
    session.execute(
        new.on_conflict_do_update(
            index_elements=["day", "tenant"], set_={"seconds": ComputeUseRow.seconds + seconds}
        )
    )


def next_midnight(session: Session) -> float:
    """Return the end of the current day in database time."""
    return _day(current_time(session))[1] + SECONDS_A_DAY


def _day(now: float) -> tuple[int, float]:
    day = int(now // SECONDS_A_DAY)
    return day, float(day * SECONDS_A_DAY)


def _count(session: Session, tenant: str, *conditions: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(JobRow).where(JobRow.tenant == tenant, *conditions)
    return session.scalar(query) or 0


def count_keys(session: Session, tenant: str) -> int:
    """Return the number of a tenant's keys that are valid or younger than a day."""
    now = current_time(session)
    is_valid = ApiKeyRow.revoked_at.is_(None) & or_(
        ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > now
    )
    is_counted = or_(is_valid, ApiKeyRow.created_at > now - SECONDS_A_DAY)
    query = select(func.count()).where(ApiKeyRow.tenant == tenant, is_counted)
    return session.scalar(query) or 0
