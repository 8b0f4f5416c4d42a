"""The kept numbers of queued jobs equal those of the rows, whatever changes them."""

import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, delete, func, select, update

from app.contracts.job import JobKind, JobState
from app.records import jobs, leases
from app.records.database import Sessions, create_database, create_sessions
from app.records.jobs import NewJob
from app.records.line import look_along
from app.records.migrations import downgrade, upgrade
from app.records.queued import Queued, count_queued, merge_changes
from app.records.tables import EventRow, JobRow, QueuedChangeRow
from tests.fixtures.databases import migrate

SEED, NUM_STEPS = 7, 40
QUEUES, TENANTS = ("cpu", "gpu", "intake"), ("a", "b", "c")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_database(database_url)
    yield engine
    engine.dispose()


def kept(sessions: Sessions) -> Mapping[tuple[str, str], Queued]:
    with sessions() as session:
        return {
            (queue, tenant): found
            for queue in QUEUES
            for tenant, found in count_queued(session, queue).items()
        }


def in_rows(sessions: Sessions) -> Mapping[tuple[str, str], Queued]:
    key = JobRow.queue, JobRow.tenant
    query = select(*key, func.count(), func.max(JobRow.created_at)).group_by(*key)
    with sessions() as session:
        rows = session.execute(query.where(JobRow.state == JobState.QUEUED))
        return {(row[0], row[1]): Queued(row[2], row[3]) for row in rows}


def post(sessions: Sessions, tenant: str, kind: JobKind = JobKind.PRUNE) -> str:
    with sessions.begin() as session:
        return jobs.create_job(session, NewJob(tenant, kind, {}, {}, "cpu", 3)).id


def change_something(sessions: Sessions, dice: random.Random) -> None:
    kind = dice.choice([JobKind.PRUNE, JobKind.PRUNE, JobKind.INTAKE_MODEL, JobKind.PLAN])
    job_id = post(sessions, dice.choice(TENANTS), kind)
    with sessions.begin() as session:
        what = dice.randrange(9)
        if what == 0:
            jobs.request_cancel(session, job_id)
        elif what == 1:
            jobs.request_pause(session, job_id)
        elif what == 2:
            jobs.resume(session, jobs.request_pause(session, job_id).id)
        elif what <= 5:
            queue = dice.choice(QUEUES)
            held = leases.claim_next(session, queue=queue, owner="w:1", lease_seconds=30)
            if held is not None and what == 4:
                leases.hand_back(session, held)
        elif what == 6:  # by SQL: an operator, or a process of another version
            moved = update(JobRow).where(JobRow.id == job_id)
            session.execute(moved.values(queue=dice.choice(QUEUES), tenant=dice.choice(TENANTS)))
        elif what == 7:
            session.execute(delete(EventRow).where(EventRow.job_id == job_id))
            session.execute(delete(JobRow).where(JobRow.id == job_id))
    if what == 8:
        with sessions() as session:  # not committed
            jobs.create_job(session, NewJob("a", kind, {}, {}, "cpu", 3))


def test_numbers_equal_those_of_the_rows_whatever_happens(engine: Engine) -> None:
    migrate(engine)
    dice, sessions = random.Random(SEED), create_sessions(engine)  # noqa: S311
    for step in range(NUM_STEPS):
        change_something(sessions, dice)
        assert kept(sessions) == in_rows(sessions), step
        if dice.randrange(4) == 0:
            with sessions.begin() as session:
                merge_changes(session)
            assert kept(sessions) == in_rows(sessions), step
    with sessions.begin() as session:
        merge_changes(session)
        num_kept = session.scalar(select(func.count(QueuedChangeRow.id)))
    assert num_kept == len(in_rows(sessions))


def test_jobs_that_were_queued_before_the_migration_count(engine: Engine) -> None:
    migrate(engine)
    sessions = create_sessions(engine)
    for tenant in "aab":
        post(sessions, tenant)
    expected = in_rows(sessions)
    downgrade(engine, "0020")
    upgrade(engine)
    assert kept(sessions) == in_rows(sessions) == expected
    assert {key: found.number for key, found in expected.items()} == {
        ("cpu", "a"): 2,
        ("cpu", "b"): 1,
    }


def test_numbers_are_right_while_many_post_and_merge_at_once(engine: Engine) -> None:
    migrate(engine)
    sessions = create_sessions(engine)

    def work(number: int) -> None:
        for _ in range(3):
            post(sessions, TENANTS[number % 2])
            with sessions.begin() as session:
                merge_changes(session)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert kept(sessions) == in_rows(sessions)
    with sessions() as session:
        assert look_along(session, "cpu").length == 18
