"""Workers on SQLite and PostgreSQL: they report, leave, and are noticed when missing."""

import time
from collections.abc import Callable, Iterator

import pytest

from app.records import workers
from app.records.database import Sessions, create_database, create_sessions
from app.records.tables import WorkerRow
from app.records.workers import PRESENT_SECONDS, WorkerIdentity
from tests.fixtures.databases import migrate
from worker.heartbeat import Heartbeat

ONE = WorkerIdentity("host:1", ("cpu",), "cpu", 1)
TWO = WorkerIdentity("host:2", ("intake", "maintenance"), "cpu", 3)


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = create_database(database_url)
    migrate(engine)
    yield create_sessions(engine)
    engine.dispose()


def present(sessions: Sessions) -> list[tuple[str, list[str], int]]:
    with sessions() as session:
        found = workers.list_present(session)
        return [(row.name, row.queues, row.num_slots) for row in found]


def test_a_worker_is_listed_until_it_leaves(sessions: Sessions) -> None:
    for worker in (ONE, TWO, ONE):
        with sessions.begin() as session:
            workers.report(session, worker)
    expected = [("host:1", ["cpu"], 1), ("host:2", ["intake", "maintenance"], 3)]
    assert present(sessions) == expected
    with sessions.begin() as session:
        workers.leave(session, "host:1")
    assert present(sessions) == expected[1:]


def test_a_killed_worker_is_reported_missing_and_then_forgotten(sessions: Sessions) -> None:
    for worker in (ONE, TWO):
        with sessions.begin() as session:
            workers.report(session, worker)
    with sessions.begin() as session:
        session.get_one(WorkerRow, "host:1").seen_at -= PRESENT_SECONDS + 1
    assert [name for name, *_ in present(sessions)] == ["host:2"]
    with sessions.begin() as session:
        workers.forget_absent(session)
    with sessions() as session:
        assert session.get(WorkerRow, "host:1") is None
        assert session.get(WorkerRow, "host:2") is not None


def test_presence_is_reported_regularly_and_ends_with_a_goodbye(sessions: Sessions) -> None:
    def seen_at() -> float | None:
        with sessions() as session:
            row = session.get(WorkerRow, "host:1")
            return None if row is None else row.seen_at

    heartbeat = Heartbeat(sessions, report_seconds=0.05)
    heartbeat.start(ONE)
    wait_until(lambda: seen_at() is not None)
    first = seen_at()
    assert first is not None
    wait_until(lambda: (seen_at() or 0.0) > first)
    heartbeat.stop()
    wait_until(lambda: seen_at() is None)


def wait_until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.01)
