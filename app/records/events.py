"""Events: rows numbered per job, written in the transaction of the change they report.

Deliveries to a job's webhook are created in the same transaction (`webhooks` sends them).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.contracts.ids import new_id
from app.records.database import current_time
from app.records.tables import EventRow, JobRow, WebhookRow

PENDING, DELIVERED, FAILED = "pending", "delivered", "failed"
PLAN = "plan"  # event type of the summary of each layer


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


def list_events(
    session: Session, *, job_id: str, after: int, limit: int, types: Sequence[str] = ()
) -> Sequence[EventRow]:
    """Return up to ``limit`` events with numbers above ``after``, ascending.

    Args:
        session: Read-only transaction.
        job_id: Id of the job.
        after: Number of the last event already seen.
        limit: Most events to return.
        types: Types, or prefixes before the dot (``job`` matches ``job.running``); empty: all.
    """
    query = select(EventRow).where(EventRow.job_id == job_id, EventRow.number > after)
    if types:
        kinds = [EventRow.type.startswith(f"{name}.", autoescape=True) for name in types]
        query = query.where(or_(EventRow.type.in_(types), *kinds))
    return session.scalars(query.order_by(EventRow.number).limit(limit)).all()


def find_newest(session: Session, *, job_id: str, kind: str) -> EventRow | None:
    """Return the last event of a type, or None."""
    query = select(EventRow).where(EventRow.job_id == job_id, EventRow.type == kind)
    return session.scalars(query.order_by(EventRow.number.desc()).limit(1)).one_or_none()


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
