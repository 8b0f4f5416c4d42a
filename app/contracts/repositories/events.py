"""Events: rows numbered per job, written in the transaction of the change they report.

So are the deliveries of those that a job's webhook wants (`webhooks` moves them on).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.contracts.database import current_time
from app.contracts.ids import new_id
from app.contracts.tables import EventRow, JobRow, WebhookRow

PENDING, DELIVERED, FAILED = "pending", "delivered", "failed"


def add_events(session: Session, job: JobRow, events: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Append events to a job whose row this transaction holds."""
    now = current_time(session)
    wanted = (job.webhook or {}).get("events", ())
    for kind, data in events:
        job.num_events += 1
        session.add(
            EventRow(job_id=job.id, number=job.num_events, type=kind, data=data, created_at=now)
        )
        if kind in wanted:
            session.add(_delivery(job, now))


def list_events(session: Session, *, job_id: str, after: int, limit: int) -> Sequence[EventRow]:
    """Return up to ``limit`` events with numbers above ``after``, ascending."""
    query = (
        select(EventRow)
        .where(EventRow.job_id == job_id, EventRow.number > after)
        .order_by(EventRow.number)
        .limit(limit)
    )
    return session.scalars(query).all()


def _delivery(job: JobRow, now: float) -> WebhookRow:
    return WebhookRow(
        id=new_id("whd"),
        job_id=job.id,
        event_number=job.num_events,
        state=PENDING,
        attempt=0,
        not_before=now,
        last_answer=None,
        created_at=now,
        delivered_at=None,
    )
