"""The database's clock is set back an hour: nobody waits for an hour. With default settings."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine, select
from structlog.testing import capture_logs

from app.contracts.job import FailureCode, JobKind, JobState, Stage
from app.contracts.settings import RetentionSettings, WorkerSettings
from app.contracts.webhook import FINAL_EVENTS
from app.idempotency import IdempotencyKey, create_once, recall
from app.records import jobs, leases, setbacks, webhooks, workers
from app.records.database import Sessions, create_database, create_sessions, current_time
from app.records.jobs import NewJob
from app.records.leases import Claim
from app.records.retention import remove_old
from app.records.tables import JobRow, WebhookRow
from app.records.workers import WorkerIdentity
from tests.fixtures.databases import migrate
from tests.fixtures.faulty_database import set_clock_back
from worker.reaper import Reaper

HOUR = 3600.0
SETTINGS = WorkerSettings()


@dataclass
class World:
    engine: Engine
    sessions: Sessions
    reaper: Reaper

    def post(self, tenant: str = "t") -> str:
        webhook = {"url": "https://example.com", "secret": "s", "events": list(FINAL_EVENTS)}
        new = NewJob(tenant, JobKind.PRUNE, {}, {}, "cpu", 3, webhook=webhook)
        with self.sessions.begin() as session:
            return jobs.create_job(session, new).id

    def claim(self) -> Claim | None:
        seconds = SETTINGS.lease_seconds
        with self.sessions.begin() as session:
            held = leases.claim_next(session, queue="cpu", owner="w:1", lease_seconds=seconds)
            if held is not None:
                leases.record(session, held, [], stage=Stage.RETRAIN)
        return held

    def set_back(self) -> None:
        set_clock_back(self.engine, HOUR)
        if self.reaper._ran_at is not None:
            self.reaper._ran_at += HOUR
        self.reaper.reap()

    def pass_time(self, seconds: float) -> None:
        """Let the database's clock go on."""
        set_clock_back(self.engine, -seconds)
        if self.reaper._ran_at is not None:
            self.reaper._ran_at -= seconds
        self.reaper.reap()

    def job(self, job_id: str) -> JobRow:
        with self.sessions() as session:
            return session.get_one(JobRow, job_id)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    engine = create_database(database_url)
    migrate(engine)
    sessions = create_sessions(engine)
    reaper = Reaper(sessions, SETTINGS)
    reaper.reap()
    yield World(engine, sessions, reaper)
    engine.dispose()


def test_the_lease_of_a_vanished_worker_ends_in_time(world: World) -> None:
    world.post()
    held = world.claim()
    assert held is not None
    with capture_logs() as lines:
        world.set_back()
    assert [x["event"] for x in lines if x["log_level"] == "warning"] == ["reaper.clock_set_back"]
    assert world.job(held.job_id).state == JobState.RUNNING
    for _ in range(4):  # a reaper that sees no gap
        world.pass_time(SETTINGS.lease_seconds / 3)
    assert world.job(held.job_id).state == JobState.QUEUED


def test_a_worker_that_lives_keeps_its_job(world: World) -> None:
    world.post()
    held = world.claim()
    assert held is not None
    world.set_back()
    for _ in range(4):
        world.pass_time(SETTINGS.lease_seconds / 3)
        with world.sessions.begin() as session:
            assert leases.renew(session, held, lease_seconds=SETTINGS.lease_seconds).is_held
    with world.sessions.begin() as session:
        assert leases.fail(session, held, FailureCode.DATA_ERROR, "no", None)
    lasted = 4 * SETTINGS.lease_seconds / 3
    assert world.job(held.job_id).seconds_run == pytest.approx(lasted, abs=5), "running time counts"


def test_a_back_off_lasts_as_long_as_it_should(world: World) -> None:
    job_id = world.post()
    held = world.claim()
    assert held is not None
    with world.sessions.begin() as session:
        setbacks.retry_or_fail(session, held, FailureCode.INTERNAL, "it died", None, most=3)
    world.set_back()
    world.pass_time(leases.BACK_OFF_SECONDS + 1)
    claimed = world.claim()
    assert claimed is not None
    assert claimed.job_id == job_id


def test_tenants_still_take_turns(world: World) -> None:
    for _ in range(3):
        for tenant in ("a", "b"):
            world.post(tenant)
    order = []
    for number in range(6):
        held = world.claim()
        assert held is not None
        order.append(world.job(held.job_id).tenant)
        with world.sessions.begin() as session:
            leases.fail(session, held, FailureCode.DATA_ERROR, "no", None)
        if number == 0:
            world.set_back()
    assert order == ["a", "b"] * 3


def test_webhooks_are_delivered_and_tried_again_in_time(world: World) -> None:
    job_id = world.post()
    with world.sessions.begin() as session:
        jobs.request_cancel(session, job_id)
    world.set_back()
    with world.sessions.begin() as session:
        (delivery,) = webhooks.take_due(session, limit=9, hold_seconds=60)
        webhooks.back_off(session, delivery, "503")
    world.set_back()
    with world.sessions() as session:
        row = session.scalars(select(WebhookRow)).one()
        assert row.not_before <= current_time(session) + webhooks.longest_wait(1)


def test_a_vanished_worker_is_noticed_and_a_live_one_stays(world: World) -> None:
    for name in ("gone:1", "here:1"):
        with world.sessions.begin() as session:
            workers.report(session, WorkerIdentity(name, ("cpu",), "cpu", 1))
    world.set_back()
    world.pass_time(20)
    with world.sessions.begin() as session:
        workers.report(session, WorkerIdentity("here:1", ("cpu",), "cpu", 1))
    world.pass_time(20)
    with world.sessions() as session:
        assert [worker.name for worker in workers.list_present(session)] == ["here:1"]


def test_keys_of_requests_and_finished_jobs_are_kept(world: World) -> None:
    key = IdempotencyKey("t", "k", "f")
    create_once(world.sessions, key, lambda _: ("job_x", "{}"))
    job_id = world.post()
    with world.sessions.begin() as session:
        jobs.request_cancel(session, job_id)
    world.set_back()
    remove_old(world.sessions, RetentionSettings(job_days=1, idempotency_days=1))
    assert recall(world.sessions, key) == ("job_x", "{}")
    assert world.job(job_id).state == JobState.CANCELLED
