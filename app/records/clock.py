"""Corrects times that were written before the database's clock was set back.

Otherwise a lease, a back-off and the presence of a worker would last longer by that time: an hour,
or a year. Nothing here needs to know when the clock was set: each time is compared with the latest
that could be right. The order of turns does not follow the clock (`line.note_turn`).

Deadlines that a user chose (`JobRow.expires_at`, the end of a key) stay as they are.
"""

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from app.contracts.job import LEASED, JobKind, JobState
from app.contracts.tasks import QUEUES
from app.records.database import current_time
from app.records.events import PENDING
from app.records.tables import JobRow, WebhookRow, WorkerRow
from app.records.webhooks import longest_wait


def pull_back_times(session: Session, *, lease_seconds: float) -> int:
    """Correct the times that are too late, and return their number.

    Rows that another transaction holds are left to the next call.

    Args:
        session: The transaction.
        lease_seconds: Length of a lease.
    """
    now = current_time(session)
    return (
        _pull_back_leases(session, now, lease_seconds)
        + _pull_back_waits(session, now)
        + _pull_back_deliveries(session, now)
        + _pull_back_reports(session, now)
    )


def _pull_back_leases(session: Session, now: float, lease_seconds: float) -> int:
    is_late = or_(JobRow.lease_expires_at > now + lease_seconds, JobRow.claimed_at > now)
    query = select(JobRow).where(JobRow.queue.in_(QUEUES), JobRow.state.in_(LEASED), is_late)
    jobs = session.scalars(query.with_for_update(skip_locked=True)).all()
    for job in jobs:
        job.lease_expires_at = min(job.lease_expires_at or now, now + lease_seconds)
        job.claimed_at = min(job.claimed_at or now, now)
    return len(jobs)


def _pull_back_waits(session: Session, now: float) -> int:
    """Let a queued job wait for as long as it should have waited since it was queued."""
    query = select(JobRow).where(
        JobRow.queue.in_(QUEUES),  # all queues and kinds: makes the query use an index
        JobRow.state == JobState.QUEUED,
        JobRow.kind.in_(list(JobKind)),
        JobRow.queued_at > now,
        JobRow.not_before > now,
    )
    jobs = session.scalars(query.with_for_update(skip_locked=True)).all()
    for job in jobs:
        assert job.not_before is not None  # noqa: S101  # the query asks for it
        assert job.queued_at is not None  # noqa: S101
        job.not_before, job.queued_at = now + max(0.0, job.not_before - job.queued_at), now
    return len(jobs)


def _pull_back_deliveries(session: Session, now: float) -> int:
    is_untried = and_(WebhookRow.attempt == 0, WebhookRow.created_at > now)
    query = select(WebhookRow).where(
        WebhookRow.state == PENDING,
        WebhookRow.not_before > now,
        or_(is_untried, WebhookRow.not_before > now + longest_wait(0)),
    )
    number = 0
    for row in session.scalars(query.with_for_update(skip_locked=True)):
        latest = now if row.attempt == 0 else now + longest_wait(row.attempt)
        if row.not_before > latest:
            row.not_before = latest
            number += 1
    return number


def _pull_back_reports(session: Session, now: float) -> int:
    """Let a worker that has vanished since then be noticed in time."""
    change = update(WorkerRow).where(WorkerRow.seen_at > now).values(seen_at=now)
    return int(session.execute(change).rowcount)  # type: ignore[attr-defined]  # of a cursor
