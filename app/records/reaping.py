"""Expired leases: revoke them, and find those that cannot be revoked."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.contracts.job import LEASED, FailureCode, JobState, Stage
from app.records.database import current_time
from app.records.jobs import move
from app.records.setbacks import Setback, retry_or_fail_locked, set_back_locked
from app.records.tables import JobRow


@dataclass(frozen=True)
class ExpiredLease:
    """A lease that its worker did not renew.

    Attributes:
        job_id: The job.
        token: Token of the claim.
        seconds: Time since it expired.
    """

    job_id: str
    token: int
    seconds: float


def list_expired(session: Session) -> list[ExpiredLease]:
    """Return the expired leases, the oldest first."""
    now = current_time(session)
    query = select(JobRow.id, JobRow.lease_token, JobRow.lease_expires_at)
    rows = session.execute(query.where(*_is_expired(now)).order_by(JobRow.lease_expires_at))
    return [ExpiredLease(row[0], row[1], now - (row[2] or now)) for row in rows]


def reap_expired(
    session: Session, *, spared: Collection[str] = (), most_setbacks: int
) -> list[str]:
    """Revoke expired leases; skip jobs that another transaction holds.

    Args:
        session: The transaction.
        spared: Jobs to leave alone.
        most_setbacks: Setbacks after which a job fails (`setbacks`).

    Returns:
        The ids of the jobs.
    """
    expired = session.scalars(
        select(JobRow)
        .where(*_is_expired(current_time(session)), JobRow.id.not_in(spared))
        .order_by(JobRow.tenant)  # concurrent reapers write compute time in one order
        .with_for_update(skip_locked=True)
    ).all()
    for job in expired:
        if job.state == JobState.CANCELLING:
            move(session, job, JobState.CANCELLED)
        elif job.state == JobState.PAUSING:
            move(session, job, JobState.PAUSED)
        else:
            _take_from_worker(session, job, most_setbacks)
    return [job.id for job in expired]


def _take_from_worker(session: Session, job: JobRow, most_setbacks: int) -> None:
    code = FailureCode.WORKER_LOST
    message = f"the worker stopped responding in attempt {job.attempt}"
    stage = Stage(job.stage) if job.stage is not None else None
    lost = Setback(code, message, stage, is_of_worker=False)
    if stage is None:  # the job's process had not begun: it is not at fault
        set_back_locked(session, job, lost, most_setbacks)
    else:
        retry_or_fail_locked(session, job, lost, most_setbacks)


def _is_expired(now: float) -> tuple[ColumnElement[bool], ...]:
    return JobRow.state.in_(LEASED), JobRow.lease_expires_at < now
