"""Events: rows numbered per job, written in the transaction of the change they report.

Deliveries to a job's webhook are created in the same transaction (`webhooks` sends them).
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.contracts.ids import new_id
from app.records.database import current_time
from app.records.tables import EventRow, JobRow, WebhookRow

PENDING, DELIVERED, FAILED = "pending", "delivered", "failed"
PLAN = "plan"  # event type of the summary of each layer
_KEYS_A_QUERY = 500


class Report(NamedTuple):
    """Event that a job's process reported.

    Attributes:
        type: Type of the event.
        data: Data of the event.
        key: Key within the job: a report with the key of an earlier one is the same report, sent
            again.
    """

    type: str
    data: dict[str, Any]
    key: str


def add_events(session: Session, job: JobRow, events: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Append events to a job whose row this transaction holds."""
    now = current_time(session)
    for kind, data in events:
        _append(session, job, kind, data, now)


def add_reports(session: Session, job: JobRow, reports: Sequence[Report]) -> list[Report]:
    """Append the reports that a job does not have yet, and return them.

    The transaction holds the job's row, so nobody else adds the same ones.
    """
    known: set[str | None] = set()
    for start in range(0, len(reports), _KEYS_A_QUERY):
        keys = [report.key for report in reports[start : start + _KEYS_A_QUERY]]
        query = select(EventRow.key).where(EventRow.job_id == job.id, EventRow.key.in_(keys))
        known.update(session.scalars(query))
    now = current_time(session)
    added = []
    for report in reports:
        if report.key not in known:
            known.add(report.key)
            _append(session, job, report.type, report.data, now, report.key)
            added.append(report)
    return added


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


def _append(  # the parts of a row
    session: Session,
    job: JobRow,
    kind: str,
    data: dict[str, Any],
    now: float,
    key: str | None = None,
) -> None:
    job.num_events += 1
    row = EventRow(
        job_id=job.id, number=job.num_events, type=kind, data=data, key=key, created_at=now
    )
    session.add(row)
    if kind in (job.webhook or {}).get("events", ()):
        session.add(_delivery(job, now))


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
