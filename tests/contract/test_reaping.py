"""Expired leases on SQLite and PostgreSQL: revoked, spared after an outage, reported if locked."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from app.contracts.job import FailureCode, JobKind, JobState, Stage
from app.contracts.settings import WorkerSettings
from app.records import jobs, leases, reaping, setbacks
from app.records.database import Sessions, create_database, create_sessions, current_time
from app.records.jobs import NewJob
from app.records.leases import Claim
from app.records.setbacks import Setback
from app.records.tables import JobRow
from tests.fixtures.databases import migrate
from worker.reaper import Reaper

AWAY = Setback(FailureCode.STORAGE_UNAVAILABLE, "the store is away", None, is_of_worker=False)


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = create_database(database_url)
    migrate(engine)
    yield create_sessions(engine)
    engine.dispose()


def claim(sessions: Sessions, stage: Stage | None = Stage.RETRAIN, tenant: str = "t") -> Claim:
    """Post and claim a job whose process has reached ``stage``."""
    new = NewJob(tenant, JobKind.PRUNE, {}, {}, "cpu", max_attempts=3)
    with sessions.begin() as session:
        job_id = jobs.create_job(session, new).id
        held = leases.claim(session, job_id=job_id, owner="w", lease_seconds=30)
        assert held is not None
        leases.record(session, held, [], stage=stage)
    return held


def expire(sessions: Sessions, held: Claim, seconds: float = 1.0) -> None:
    with sessions.begin() as session:
        session.get_one(JobRow, held.job_id).lease_expires_at = current_time(session) - seconds


def row(sessions: Sessions, held: Claim) -> JobRow:
    with sessions() as session:
        return session.get_one(JobRow, held.job_id)


def a_running_reaper(sessions: Sessions) -> Reaper:
    reaper = Reaper(sessions, WorkerSettings())
    reaper.reap()
    return reaper


def forget(reaper: Reaper, seconds: float) -> None:
    """Let the last run of the reaper be ``seconds`` longer ago."""
    assert reaper._ran_at is not None
    reaper._ran_at -= seconds
    reaper._spared_until = {key: at - seconds for key, at in reaper._spared_until.items()}


def test_an_expired_lease_is_revoked_at_once(sessions: Sessions) -> None:
    reaper, held = a_running_reaper(sessions), claim(sessions)
    expire(sessions, held)
    reaper.reap()
    assert row(sessions, held).state == JobState.QUEUED


@pytest.mark.parametrize("gap", [60.0, -3600.0], ids=["outage", "clock-set-back"])
def test_a_lease_can_be_renewed_after_an_outage(sessions: Sessions, gap: float) -> None:
    reaper = a_running_reaper(sessions)
    renewed, lost = claim(sessions), claim(sessions)
    for held in (renewed, lost):
        expire(sessions, held, 20)
    forget(reaper, gap)
    reaper.reap()
    assert {row(sessions, held).state for held in (renewed, lost)} == {JobState.RUNNING}
    with sessions.begin() as session:
        assert leases.renew(session, renewed, lease_seconds=30).is_held
    forget(reaper, 12)  # two heartbeats and a new connection
    reaper.reap()
    assert (row(sessions, renewed).state, row(sessions, renewed).attempt) == (JobState.RUNNING, 1)
    assert row(sessions, lost).state == JobState.QUEUED


def test_a_reaper_that_runs_seldom_still_revokes_leases(sessions: Sessions) -> None:
    reaper, held = a_running_reaper(sessions), claim(sessions)
    expire(sessions, held)
    for _ in range(2):
        forget(reaper, 300)
        reaper.reap()
    assert row(sessions, held).state == JobState.QUEUED


@pytest.mark.parametrize(("stage", "attempt"), [(None, 0), (Stage.INTAKE, 1)])
def test_a_lost_worker_costs_an_attempt_only_if_the_process_had_begun(
    sessions: Sessions, stage: Stage | None, attempt: int
) -> None:
    held = claim(sessions, stage)
    expire(sessions, held)
    with sessions.begin() as session:
        assert reaping.reap_expired(session, most_setbacks=3) == [held.job_id]
    found = row(sessions, held)
    assert (found.state, found.attempt, found.num_setbacks) == ("queued", attempt, 1 - attempt)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite locks no rows
def test_expired_leases_that_are_locked_are_logged(sessions: Sessions) -> None:
    reaper = a_running_reaper(sessions)
    locked, free = claim(sessions), claim(sessions)
    for held in (locked, free):
        expire(sessions, held, 100)
    with sessions.begin() as holder, capture_logs() as lines:
        jobs.get_job(holder, locked.job_id)  # a host that vanished inside this transaction
        reaper.reap()
    (line,) = [line for line in lines if line["event"] == "job.leases_locked"]
    assert (line["num_jobs"], line["oldest_job"]) == (1, locked.job_id)
    assert 99 < line["oldest_seconds"] < 130
    assert [x["job_id"] for x in lines if x["event"] == "job.lease_expired"] == [free.job_id]


def test_setbacks_cost_no_attempt_and_have_a_limit_of_their_own(sessions: Sessions) -> None:
    held = claim(sessions)
    for number in range(1, 5):
        with sessions.begin() as session:
            assert setbacks.set_back(session, held, AWAY, most=4)
            job = session.get_one(JobRow, held.job_id)
            assert (job.state, job.attempt, job.num_setbacks) == ("queued", 0, number)
            assert job.not_before is not None
            job.not_before = None
            again = leases.claim(session, job_id=job.id, owner="w", lease_seconds=30)
            assert again is not None
            held = again
    with sessions.begin() as session:
        setbacks.set_back(session, held, AWAY, most=4)
    job = row(sessions, held)
    assert job.error is not None
    assert (job.state, job.error["code"]) == ("failed", "storage_unavailable")


@pytest.mark.parametrize(("request_of", "state"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_job_that_is_to_stop_stops_at_a_setback(
    sessions: Sessions, request_of: str, state: str
) -> None:
    held = claim(sessions)
    with sessions.begin() as session:
        getattr(jobs, f"request_{request_of}")(session, held.job_id)
        setbacks.set_back(session, held, AWAY, most=1)
    assert row(sessions, held).state == state


def test_a_stale_worker_sets_nothing_back(sessions: Sessions) -> None:
    held = claim(sessions)
    with sessions.begin() as session:
        stale = Claim(held.job_id, held.token - 1, 1)
        assert not setbacks.set_back(session, stale, AWAY, most=1)
    assert row(sessions, held).state == JobState.RUNNING


def lose(sessions: Sessions, held: Claim, most: int = 100) -> Claim | None:
    """Lose the worker of a claim; return the next claim, None if the job failed."""
    expire(sessions, held)
    with sessions.begin() as session:
        reaping.reap_expired(session, most_setbacks=most)
        session.get_one(JobRow, held.job_id).not_before = None
    with sessions.begin() as session:
        again = leases.claim(session, job_id=held.job_id, owner="w", lease_seconds=30)
        if again is not None:
            leases.record(session, again, [], stage=Stage.RETRAIN)
    return again


def checkpoint(sessions: Sessions, held: Claim, most: int = 100) -> None:
    with sessions.begin() as session:
        leases.keep_checkpoint(session, held, {"checkpoint.tar": f"sha of {held.token}"}, most)


def test_an_attempt_that_stored_a_checkpoint_does_not_count(sessions: Sessions) -> None:
    held: Claim | None = claim(sessions)
    for number in range(1, 6):  # of 3 attempts
        assert held is not None
        checkpoint(sessions, held)
        checkpoint(sessions, held)
        held = lose(sessions, held)
        assert held is not None
        assert (held.attempt, row(sessions, held).num_setbacks) == (1, number)


def test_a_checkpoint_makes_earlier_attempts_not_count(sessions: Sessions) -> None:
    first = claim(sessions)
    second = lose(sessions, first)
    assert second is not None
    assert second.attempt == 2
    checkpoint(sessions, second)
    assert (row(sessions, second).attempt, row(sessions, second).num_setbacks) == (1, 1)


def test_a_job_that_loses_its_worker_at_one_place_fails(sessions: Sessions) -> None:
    held: Claim | None = claim(sessions)
    assert held is not None
    job_id = held.job_id
    checkpoint(sessions, held)
    num_losses = 0
    while held is not None:
        held, num_losses = lose(sessions, held), num_losses + 1
    assert num_losses == 4, "three attempts after the one that stored the checkpoint"
    with sessions() as session:
        assert session.get_one(JobRow, job_id).state == JobState.FAILED


def test_a_job_that_stores_a_checkpoint_in_each_attempt_fails_in_the_end(
    sessions: Sessions,
) -> None:
    held: Claim | None = claim(sessions)
    num_losses = 0
    while held is not None:
        checkpoint(sessions, held, most=5)
        held, num_losses = lose(sessions, held, most=5), num_losses + 1
        assert num_losses < 20
    assert num_losses > 5
