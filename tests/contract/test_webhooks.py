"""Webhook deliveries on SQLite and PostgreSQL."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.contracts.job import FailureCode, JobKind, JobState
from app.contracts.webhook import FINAL_EVENTS
from app.records import jobs, leases, webhooks
from app.records.database import Sessions, create_database, create_sessions, current_time
from app.records.events import Report, list_events
from app.records.jobs import NewJob
from app.records.tables import JobRow, WebhookRow
from app.records.webhooks import Delivery
from tests.fixtures.databases import migrate

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # the published example


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = create_database(database_url)
    migrate(engine)
    yield create_sessions(engine)
    engine.dispose()


def add_job(sessions: Sessions, events: Sequence[str] | None = FINAL_EVENTS) -> str:
    webhook = {"url": "https://example.com/", "secret": SECRET, "events": list(events or ())}
    with sessions.begin() as session:
        new = NewJob("t", JobKind.PRUNE, {}, {}, "cpu", 3, webhook=webhook if events else None)
        return jobs.create_job(session, new).id


def cancelled_job(sessions: Sessions) -> str:
    job_id = add_job(sessions)
    with sessions.begin() as session:
        jobs.request_cancel(session, job_id)
    return job_id


def deliveries(sessions: Sessions) -> Sequence[WebhookRow]:
    with sessions() as session:
        return session.scalars(select(WebhookRow).order_by(WebhookRow.event_number)).all()


def take(sessions: Sessions, hold_seconds: float = 60) -> list[Delivery]:
    with sessions.begin() as session:
        return webhooks.take_due(session, limit=10, hold_seconds=hold_seconds)


def make_due(sessions: Sessions) -> None:
    with sessions.begin() as session:
        for row in session.scalars(select(WebhookRow)):
            row.not_before = 0


def event_types(sessions: Sessions, job_id: str) -> list[str]:
    with sessions() as session:
        return [e.type for e in list_events(session, job_id=job_id, after=0, limit=100)]


def test_a_delivery_is_stored_in_the_transaction_of_its_event(sessions: Sessions) -> None:
    job_id = cancelled_job(sessions)
    add_job(sessions, None)  # nobody is told of this one
    (row,) = deliveries(sessions)
    assert (row.job_id, row.event_number, row.state, row.attempt) == (job_id, 2, "pending", 0)
    (delivery,) = take(sessions)
    assert (delivery.type, delivery.url, delivery.secret) == (
        "job.cancelled", "https://example.com/", SECRET,
    )  # fmt: skip


def test_only_requested_events_are_delivered(sessions: Sessions) -> None:
    job_id = add_job(sessions, ["job.queued", "job.running"])
    with sessions.begin() as session:
        held = leases.claim(session, job_id=job_id, owner="w", lease_seconds=30)
        assert held is not None
        leases.record(session, held, [Report("progress", {}, "1"), Report("metric", {}, "2")])
        leases.fail(session, held, FailureCode.DATA_ERROR, "no", None)
    assert [d.type for d in take(sessions)] == ["job.queued", "job.running"]


def test_a_delivery_rolls_back_with_its_event(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    with sessions.begin() as session:
        jobs.request_cancel(session, job_id)
        session.flush()
        session.rollback()
    assert deliveries(sessions) == []
    assert event_types(sessions, job_id) == ["job.queued"]


def test_one_of_many_racing_workers_sends_a_delivery(sessions: Sessions) -> None:
    for _ in range(3):
        cancelled_job(sessions)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: take(sessions), range(8)))
    ids = [delivery.id for batch in taken for delivery in batch]
    assert len(ids) == len(set(ids)) == 3
    assert take(sessions) == []


def test_the_delivery_of_a_dead_worker_is_sent_again(sessions: Sessions) -> None:
    cancelled_job(sessions)
    (first,), (second,) = take(sessions, hold_seconds=-1), take(sessions)
    assert (first.id, first.attempt, second.attempt) == (second.id, 1, 2)
    with sessions.begin() as session:  # the first was only slow: it does not disturb the second
        webhooks.back_off(session, first, "500")
        webhooks.give_up(session, first, "500")
    (row,) = deliveries(sessions)
    assert (row.state, row.attempt, row.last_answer) == ("pending", 2, None)
    with sessions.begin() as session:  # but if it arrived, it arrived
        webhooks.mark_delivered(session, first, "200")
        webhooks.give_up(session, second, "500")
    (row,) = deliveries(sessions)
    assert (row.state, row.last_answer) == ("delivered", "200")
    assert row.delivered_at is not None


def test_waits_grow_by_a_factor_and_are_the_same_for_everybody(sessions: Sessions) -> None:
    cancelled_job(sessions)
    waits = []
    for _ in range(9):
        make_due(sessions)
        (delivery,) = take(sessions)
        with sessions.begin() as session:
            before = current_time(session)
            webhooks.back_off(session, delivery, "503")
        assert take(sessions) == []
        waits.append(deliveries(sessions)[0].not_before - before)
    expected = [5, 20, 80, 320, 1280, 5120, 20_480, 21_600, 21_600]
    assert waits == pytest.approx(expected, abs=2)


def test_giving_up_closes_the_delivery_and_tells_the_job(sessions: Sessions) -> None:
    job_id = cancelled_job(sessions)
    (delivery,) = take(sessions)
    for _ in range(2):  # the second time changes nothing
        with sessions.begin() as session:
            webhooks.give_up(session, delivery, "410")
    (row,) = deliveries(sessions)
    assert (row.state, row.last_answer) == ("failed", "410")
    assert event_types(sessions, job_id) == ["job.queued", "job.cancelled", "webhook.failed"]
    with sessions() as session:
        event = list_events(session, job_id=job_id, after=2, limit=1)[0]
        assert session.get_one(JobRow, job_id).state == JobState.CANCELLED
    assert event.data == {"delivery": row.id, "event": 2, "attempts": 1, "answer": "410"}
    make_due(sessions)
    assert take(sessions) == []


def test_an_error_of_the_database_does_not_show_the_secret(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    with sessions() as session:
        job = session.get_one(JobRow, job_id)
    values = {c.key: getattr(job, c.key) for c in JobRow.__mapper__.column_attrs}
    with pytest.raises(IntegrityError, match="job") as caught, sessions.begin() as session:
        session.add(JobRow(**values))  # the id is taken
    assert SECRET not in str(caught.value)
