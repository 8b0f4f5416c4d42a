"""A write whose response to COMMIT was lost is repeated, and has one effect."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from app.contracts.job import FailureCode, JobKind, JobState, Stage
from app.contracts.settings import OutputSettings
from app.contracts.webhook import FINAL_EVENTS
from app.idempotency import IdempotencyKey, create_once
from app.records import jobs, leases, setbacks, webhooks
from app.records.database import Sessions, create_database, create_sessions
from app.records.jobs import NewJob
from app.records.leases import Claim
from app.records.outcomes import Outcome, StoredFile
from app.records.reaping import reap_expired
from app.records.setbacks import Setback
from app.records.tables import ArtifactRow, EventRow, JobRow, ModelRow, WebhookRow
from tests.contract.test_jobs import add_model
from tests.fixtures.databases import migrate
from tests.fixtures.faulty_database import lost_replies, partition
from worker.messages import Message, Metric, Progress, StageStarted, Warned
from worker.recorder import Recorder
from worker.retry import retry

MESSAGES: list[Message] = [
    StageStarted(stage=Stage.RETRAIN),
    Warned(message="the labels are few"),
    *(Metric(data={"kind": "epoch", "epoch": n}, key=f"run.0.{n}") for n in range(1, 6)),
    Metric(data={"kind": "other"}),
    Metric(data={"kind": "other"}),  # two messages, although they are alike
    Progress(fraction=0.5, step=1, num_steps=2, message="x"),
]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the tracebacks of the faults out of the output: formatting them takes seconds."""
    with capture_logs():
        yield


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_database(database_url)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> Sessions:
    return create_sessions(engine)


def claim(sessions: Sessions, job_id: str | None = None) -> Claim:
    if job_id is None:
        model_id = add_model(sessions)
        webhook = {"url": "https://example.com", "secret": "s", "events": list(FINAL_EVENTS)}
        new = NewJob("t", JobKind.PRUNE, {}, {}, "cpu", 3, model_id=model_id, webhook=webhook)
        with sessions.begin() as session:
            job_id = jobs.create_job(session, new).id
    with sessions.begin() as session:
        session.get_one(JobRow, job_id).not_before = None
        session.flush()
        held = leases.claim(session, job_id=job_id, owner="w:1", lease_seconds=60)
    assert held is not None
    return held


def record(sessions: Sessions, held: Claim, *parts: list[Message]) -> Recorder:
    recorder = Recorder(sessions, held, OutputSettings())
    for part in parts:
        recorder.add(part)
        retry(recorder.flush, threading.Event(), 10)
    return recorder


def events(sessions: Sessions, held: Claim) -> list[tuple[int, str, dict[str, Any]]]:
    with sessions() as session:
        query = select(EventRow).where(EventRow.job_id == held.job_id).order_by(EventRow.number)
        return [(row.number, row.type, row.data) for row in session.scalars(query)]


def metrics(sessions: Sessions, held: Claim) -> list[dict[str, Any]]:
    return [data for _, kind, data in events(sessions, held) if kind == "metric"]


@pytest.mark.parametrize("size", [1, 4, len(MESSAGES)])
def test_messages_are_stored_once_if_the_reply_is_lost(
    engine: Engine, sessions: Sessions, size: int
) -> None:
    parts = [MESSAGES[start : start + size] for start in range(0, len(MESSAGES), size)]
    undisturbed, disturbed = claim(sessions), claim(sessions)
    record(sessions, undisturbed, *parts)
    with lost_replies(engine, 3):
        record(sessions, disturbed, *parts, [], [], [])
    assert events(sessions, disturbed) == events(sessions, undisturbed)
    with sessions() as session:
        rows = [session.get_one(JobRow, held.job_id) for held in (undisturbed, disturbed)]
    assert rows[0].reported_bytes == rows[1].reported_bytes
    assert rows[0].warnings == rows[1].warnings


def test_messages_outlast_a_partition(engine: Engine, sessions: Sessions) -> None:
    undisturbed, disturbed = claim(sessions), claim(sessions)
    record(sessions, undisturbed, MESSAGES)
    recorder = Recorder(sessions, disturbed, OutputSettings())
    recorder.add(MESSAGES[:3])
    with partition(engine):
        for message in MESSAGES[3:]:
            recorder.add([message])
    recorder.flush()
    assert metrics(sessions, disturbed) == metrics(sessions, undisturbed)


def test_a_metric_that_the_next_attempt_repeats_is_stored_once(sessions: Sessions) -> None:
    first = claim(sessions)
    record(sessions, first, MESSAGES[:5])
    with sessions.begin() as session:
        setbacks.retry_or_fail(session, first, FailureCode.INTERNAL, "it died", None, most=3)
    second = claim(sessions, first.job_id)
    record(sessions, second, MESSAGES)
    found = events(sessions, first)
    assert [data.get("epoch") for data in metrics(sessions, first)] == [1, 2, 3, 4, 5, None, None]
    kinds = [kind for _, kind, _ in found]
    assert (kinds.count("warning"), kinds.count("stage.started")) == (1, 2)
    assert [number for number, _, _ in found] == list(range(1, len(found) + 1))


def test_hours_of_messages_are_written_in_parts(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.recorder._MESSAGES_A_WRITE", 3)
    held = claim(sessions)
    record(sessions, held, MESSAGES)
    assert len(events(sessions, held)) == 2 + len(MESSAGES)


def finish(session: Session, held: Claim) -> object:
    files = (StoredFile("pruned.pt2", "application/zip", "4" * 64, 4),)
    outcome = Outcome({"summary": {}}, {}, files, None, "pruned.pt2")
    return leases.finish(session, held, outcome)


def fail(session: Session, held: Claim) -> object:
    return leases.fail(session, held, FailureCode.DATA_ERROR, "no labels", None)


def try_again(session: Session, held: Claim) -> object:
    return setbacks.retry_or_fail(session, held, FailureCode.INTERNAL, "it died", None, most=3)


def try_smaller(session: Session, held: Claim) -> object:
    return leases.retry_smaller_or_fail(session, held, "no memory", None, 64)


def set_back(session: Session, held: Claim) -> object:
    setback = Setback(FailureCode.STORAGE_UNAVAILABLE, "away", None, is_of_worker=True)
    return setbacks.set_back(session, held, setback, 100)


def hand_back(session: Session, held: Claim) -> object:
    return leases.hand_back(session, held)


def give_up(session: Session, held: Claim) -> object:
    """End the job, and give up the delivery of its end."""
    fail(session, held)
    session.flush()
    for delivery in webhooks.take_due(session, limit=9, hold_seconds=60):
        if delivery.job_id == held.job_id:
            webhooks.give_up(session, delivery, "410")
    return None


@pytest.mark.parametrize(
    "change", [finish, fail, try_again, try_smaller, set_back, hand_back, give_up]
)
def test_every_ending_has_one_effect_if_the_reply_is_lost(
    engine: Engine, sessions: Sessions, change: Callable[[Session, Claim], object]
) -> None:
    undisturbed, disturbed = claim(sessions), claim(sessions)

    def write(held: Claim) -> None:
        with sessions.begin() as session:
            change(session, held)

    write(undisturbed)
    with lost_replies(engine):
        retry(lambda: write(disturbed), threading.Event(), 10)
    assert effects(sessions, disturbed) == effects(sessions, undisturbed)


def effects(sessions: Sessions, held: Claim) -> dict[str, object]:
    """Return what an ending left in the tables, without ids and times."""
    found = [(number, kind) for number, kind, _ in events(sessions, held)]
    with sessions() as session:
        job = session.get_one(JobRow, held.job_id)
        own = {
            table.__tablename__: len(
                session.scalars(select(table).where(table.job_id == job.id)).all()
            )
            for table in (ArtifactRow, EventRow, ModelRow, WebhookRow)
        }
        tried = select(WebhookRow.state, WebhookRow.attempt).where(WebhookRow.job_id == job.id)
        return {
            **own,
            "deliveries": [tuple(row) for row in session.execute(tried)],
            "events": found,
            "job": (job.state, job.attempt, job.num_setbacks, job.batch_divisor, job.warnings),
        }


def test_a_checkpoint_is_recorded_again_if_the_reply_is_lost(
    engine: Engine, sessions: Sessions
) -> None:
    held, files = claim(sessions), {"checkpoint.tar": "5" * 64}
    with lost_replies(engine), pytest.raises(OperationalError), sessions.begin() as session:
        leases.keep_checkpoint(session, held, files, 100)
    with sessions.begin() as session:
        assert not leases.keep_checkpoint(session, held, files, 100), "nothing in use is deleted"
    with sessions() as session:
        job = session.get_one(JobRow, held.job_id)
    assert job.checkpoint == {"token": held.token, "files": files}


def test_a_post_that_is_repeated_creates_one_job(engine: Engine, sessions: Sessions) -> None:
    key = IdempotencyKey("t", "a key", "a fingerprint")

    def create(session: Session) -> tuple[str, str]:
        return jobs.create_job(session, NewJob("t", JobKind.PRUNE, {}, {}, "cpu", 3)).id, "{}"

    with lost_replies(engine), pytest.raises(OperationalError):
        create_once(sessions, key, create)
    job_id, _ = create_once(sessions, key, create)
    with sessions() as session:
        assert session.scalars(select(JobRow.id)).all() == [job_id]


def test_a_claim_whose_reply_is_lost_costs_no_attempt(engine: Engine, sessions: Sessions) -> None:
    with sessions.begin() as session:
        job_id = jobs.create_job(session, NewJob("t", JobKind.PRUNE, {}, {}, "cpu", 3)).id
    with lost_replies(engine), pytest.raises(OperationalError):
        claim(sessions, job_id)
    with sessions.begin() as session:
        job = session.get_one(JobRow, job_id)
        assert job.state == JobState.RUNNING, "for a worker that does not know it"
        job.lease_expires_at = 0.0
        session.flush()
        assert reap_expired(session, most_setbacks=100) == [job_id]
    with sessions() as session:
        job = session.get_one(JobRow, job_id)
    assert (job.state, job.attempt, job.num_setbacks) == ("queued", 0, 1)
