"""The counts of `/metrics` equal those of the rows, whatever was counted before."""

import random
from collections.abc import Iterator

import pytest
from prometheus_client.samples import Sample
from sqlalchemy import Engine, func, select

from app.contracts.job import FailureCode, JobKind, JobState
from app.contracts.settings import RetentionSettings
from app.metrics.jobs import JobsCollector
from app.records import jobs, leases
from app.records.database import Sessions, create_database, create_sessions
from app.records.jobs import NewJob
from app.records.retention import remove_old
from app.records.tables import JobRow
from tests.fixtures.databases import migrate
from tests.fixtures.faulty_database import set_clock_back

SEED, NUM_STEPS = 3, 40
HOUR = 3600.0


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_database(database_url)
    migrate(engine)
    yield engine
    engine.dispose()


def counted(collector: JobsCollector) -> dict[tuple[str, ...], float]:
    collector._found = None  # what is cached for seconds
    samples: list[Sample] = next(iter(collector.collect())).samples
    return {(s.labels["kind"], s.labels["queue"], s.labels["state"]): s.value for s in samples}


def in_rows(sessions: Sessions) -> dict[tuple[str, ...], float]:
    columns = JobRow.kind, JobRow.queue, JobRow.state
    with sessions() as session:
        rows = session.execute(select(*columns, func.count()).group_by(*columns))
        return {tuple(row[:3]): row[3] for row in rows}


def change_something(sessions: Sessions, dice: random.Random) -> None:
    kind = dice.choice([JobKind.PRUNE, JobKind.PRUNE, JobKind.PLAN])
    with sessions.begin() as session:
        new = NewJob("t", kind, {}, {}, dice.choice(["cpu", "cuda"]), 3)
        job_id = jobs.create_job(session, new).id
        what = dice.randrange(6)
        if what == 0:
            jobs.request_cancel(session, job_id)
        elif what == 1:
            jobs.request_pause(session, job_id)
        elif what <= 3:
            queue = dice.choice(["cpu", "gpu", "intake"])
            held = leases.claim_next(session, queue=queue, owner="w:1", lease_seconds=30)
            if held is not None and what == 3:
                leases.fail(session, held, FailureCode.DATA_ERROR, "no", None)
        elif what == 4:
            jobs.forget_plans(session)


def test_counts_equal_those_of_the_rows(engine: Engine) -> None:
    dice, sessions = random.Random(SEED), create_sessions(engine)  # noqa: S311
    now = [0.0]
    collector = JobsCollector(sessions, clock=lambda: now[0])
    for step in range(NUM_STEPS):
        for _ in range(dice.randrange(4)):
            change_something(sessions, dice)
        found, expected = counted(collector), in_rows(sessions)
        live = {key: n for key, n in expected.items() if not JobState(key[2]).is_final}
        assert {key: n for key, n in found.items() if key in live} == live, step
        assert found.keys() >= expected.keys()
        passed = dice.choice([1.0, 30.0, 100.0])
        now[0] += passed
        set_clock_back(engine, -passed)
        collector._settled_to -= passed
    now[0] += 2 * HOUR  # plans and old jobs are gone, and counted no more
    set_clock_back(engine, -2 * 86_400)
    remove_old(sessions, RetentionSettings(job_days=1))
    assert counted(collector) == in_rows(sessions)


def test_a_job_that_is_tried_again_is_counted_as_queued_within_a_minute(engine: Engine) -> None:
    sessions, now = create_sessions(engine), [0.0]
    collector = JobsCollector(sessions, clock=lambda: now[0])
    with sessions.begin() as session:
        job_id = jobs.create_job(session, NewJob("t", JobKind.PRUNE, {}, {}, "cpu", 3)).id
        held = leases.claim(session, job_id=job_id, owner="w:1", lease_seconds=30)
        assert held is not None
        leases.fail(session, held, FailureCode.INTERNAL, "broken", None)
    set_clock_back(engine, -300)  # it failed long ago
    assert counted(collector) == in_rows(sessions) == {("prune", "cpu", "failed"): 1}
    with sessions.begin() as session:
        jobs.retry(session, job_id)
    now[0] = 60.0
    assert counted(collector) == in_rows(sessions) == {("prune", "cpu", "queued"): 1}


def test_counts_are_right_after_the_clock_was_set_back(engine: Engine) -> None:
    dice, sessions = random.Random(SEED), create_sessions(engine)  # noqa: S311
    collector = JobsCollector(sessions, clock=lambda: 0.0)
    for _ in range(2):
        for _ in range(20):
            change_something(sessions, dice)
        assert counted(collector) == in_rows(sessions)
        set_clock_back(engine, HOUR)
        collector._settled_to += HOUR
