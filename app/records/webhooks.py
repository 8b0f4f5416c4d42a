"""Webhook deliveries: claim due deliveries, and record the receiver's answer.

`events.add_events` creates deliveries. A claimed delivery is held for a time, so that two workers
do not send it at once; if a worker dies, another claims it when the hold ends. Locks are taken in
the order job, delivery, as everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, func, select, update
from sqlalchemy.orm import Session

from app.records.database import current_time
from app.records.events import DELIVERED, FAILED, PENDING, add_events
from app.records.jobs import get_job
from app.records.tables import EventRow, JobRow, WebhookRow

BACK_OFF_SECONDS = 5.0
_BACK_OFF_FACTOR = 4
_MAX_BACK_OFF_SECONDS = 6 * 3600.0
_REST_SECONDS = 480.0  # the longest rest of a receiver, and longer than a hold


@dataclass(frozen=True)
class Due:
    """Delivery that may be claimed; ``rank`` is its place among those of its tenant, from 1."""

    id: str
    tenant: str
    rank: int
    not_before: float
    url: str = field(repr=False)


@dataclass(frozen=True)
class Delivery:
    """Event to deliver, claimed for one attempt."""

    id: str
    tenant: str
    attempt: int
    job_id: str
    event_number: int
    type: str
    data: dict[str, Any]
    created_at: float
    url: str = field(repr=False)
    secret: str = field(repr=False)


def list_due(session: Session, *, per_tenant: int) -> list[Due]:
    """Return due deliveries, at most ``per_tenant`` of each tenant, with its oldest first."""
    place = func.row_number().over(
        partition_by=JobRow.tenant, order_by=(WebhookRow.not_before, WebhookRow.id)
    )
    ranked = (
        select(WebhookRow.id, WebhookRow.not_before, WebhookRow.job_id, place.label("rank"))
        .join(JobRow, JobRow.id == WebhookRow.job_id)
        .where(WebhookRow.state == PENDING, WebhookRow.not_before <= current_time(session))
        .subquery()
    )
    query = (
        select(ranked.c.id, JobRow.tenant, ranked.c.rank, ranked.c.not_before, JobRow.webhook)
        .join(JobRow, JobRow.id == ranked.c.job_id)
        .where(ranked.c.rank <= per_tenant)
        .order_by(ranked.c.rank, ranked.c.not_before)
    )
    found = []
    for row in session.execute(query):
        assert row.webhook is not None  # noqa: S101  # only jobs with a webhook have deliveries
        found.append(Due(row.id, row.tenant, row.rank, row.not_before, row.webhook["url"]))
    return found


def put_off(session: Session, seconds: Mapping[str, float]) -> None:
    """Make deliveries due later, by id, without counting an attempt."""
    now = current_time(session)
    for delivery_id, wait in seconds.items():
        session.execute(
            update(WebhookRow)
            .where(WebhookRow.id == delivery_id, WebhookRow.state == PENDING)
            .where(WebhookRow.not_before <= now)
            .values(not_before=now + wait)
        )


def take_due(
    session: Session, *, limit: int, hold_seconds: float, among: Sequence[str] | None = None
) -> list[Delivery]:
    """Claim due deliveries: count the attempt and hold each for ``hold_seconds``.

    Args:
        session: The transaction.
        limit: Most deliveries to claim.
        hold_seconds: Time until another worker may claim them.
        among: Ids of the deliveries that may be claimed; None for any.
    """
    now = current_time(session)
    is_event = and_(
        EventRow.job_id == WebhookRow.job_id, EventRow.number == WebhookRow.event_number
    )
    query = (
        select(WebhookRow, EventRow, JobRow.tenant, JobRow.webhook)
        .join(EventRow, is_event)
        .join(JobRow, JobRow.id == WebhookRow.job_id)
        .where(WebhookRow.state == PENDING, WebhookRow.not_before <= now)
        .order_by(WebhookRow.not_before)
        .limit(limit)
        .with_for_update(of=WebhookRow, skip_locked=True)
    )
    if among is not None:
        query = query.where(WebhookRow.id.in_(among))
    taken = []
    for row, event, tenant, webhook in session.execute(query).all():
        assert webhook is not None  # noqa: S101  # only jobs with a webhook have deliveries
        row.attempt += 1
        row.not_before = now + hold_seconds
        taken.append(
            Delivery(
                id=row.id,
                tenant=tenant,
                attempt=row.attempt,
                job_id=row.job_id,
                event_number=row.event_number,
                type=event.type,
                data=event.data,
                created_at=event.created_at,
                url=webhook["url"],
                secret=webhook["secret"],
            )
        )
    return taken


def mark_delivered(session: Session, delivery: Delivery, answer: str) -> None:
    """Mark a delivery as delivered, whichever attempt succeeded."""
    session.execute(
        update(WebhookRow)
        .where(WebhookRow.id == delivery.id, WebhookRow.state == PENDING)
        .values(state=DELIVERED, last_answer=answer, delivered_at=current_time(session))
    )


def back_off(session: Session, delivery: Delivery, answer: str) -> None:
    """Schedule another attempt, unless a newer attempt has claimed the delivery."""
    wait = _back_off_seconds(delivery.attempt)
    session.execute(
        update(WebhookRow)
        .where(
            WebhookRow.id == delivery.id,
            WebhookRow.state == PENDING,
            WebhookRow.attempt == delivery.attempt,
        )
        .values(not_before=current_time(session) + wait, last_answer=answer)
    )


def give_up(session: Session, delivery: Delivery, answer: str) -> None:
    """Mark a delivery as failed, and add an event to the job.

    Does nothing if it is closed already, or if a newer attempt has claimed it.
    """
    job = get_job(session, delivery.job_id)
    row = session.get_one(WebhookRow, delivery.id, with_for_update=True)
    if row.state != PENDING or row.attempt != delivery.attempt:
        return
    row.state, row.last_answer = FAILED, answer
    data = {
        "delivery": row.id,
        "event": row.event_number,
        "attempts": row.attempt,
        "answer": answer,
    }
    add_events(session, job, [("webhook.failed", data)])


def longest_wait(attempt: int) -> float:
    """Return the longest time in seconds for which a delivery is put off after an attempt."""
    return max(_REST_SECONDS, _back_off_seconds(max(1, attempt)))


def _back_off_seconds(attempt: int) -> float:
    seconds = BACK_OFF_SECONDS * float(_BACK_OFF_FACTOR) ** (attempt - 1)
    return min(_MAX_BACK_OFF_SECONDS, seconds)
