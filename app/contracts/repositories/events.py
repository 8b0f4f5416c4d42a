"""Events: rows numbered per job, written in the transaction of the change they report."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.contracts.database import current_time
from app.contracts.tables import EventRow, JobRow


def add_events(session: Session, job: JobRow, events: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Append events to a job whose row this transaction holds."""
    now = current_time(session)
    for kind, data in events:
        job.num_events += 1
        session.add(
            EventRow(job_id=job.id, number=job.num_events, type=kind, data=data, created_at=now)
        )


def list_events(session: Session, *, job_id: str, after: int, limit: int) -> Sequence[EventRow]:
    """Return up to ``limit`` events with numbers above ``after``, ascending."""
    query = (
        select(EventRow)
        .where(EventRow.job_id == job_id, EventRow.number > after)
        .order_by(EventRow.number)
        .limit(limit)
    )
    return session.scalars(query).all()
