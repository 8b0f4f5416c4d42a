"""Rings of one transaction, on SQLite and PostgreSQL."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.contracts.ids import new_id
from app.contracts.job import JobKind, JobState
from app.records import jobs, leases
from app.records.database import Sessions, create_database, create_sessions, current_time, reading
from app.records.jobs import NewJob
from app.records.outcomes import Outcome, StoredFile
from app.records.rings import note_ring, ring_after_commit
from app.records.tables import JobRow, ModelRow
from tests.fixtures.databases import migrate


class World:
    """Sessions, and the rings: each with the job's state as other sessions saw it then."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.rings: list[tuple[str, str]] = []
        self.states: list[str | None] = []
        self.pool: Any = sessions.kw["bind"].pool
        self.num_connections: list[int] = []
        ring_after_commit(sessions, self.ring)

    def ring(self, job_id: str, queue: str) -> None:
        self.rings.append((job_id, queue))
        self.num_connections.append(self.pool.checkedout())
        with reading(self.sessions) as session:  # another session sees what is committed
            job = session.get(JobRow, job_id)
            self.states.append(None if job is None else job.state)

    def add_model(self, status: str) -> str:
        with self.sessions.begin() as session:
            row = ModelRow(
                id=new_id("mdl"), tenant="t", name="net", version="1", status=status, format="pt2",
                filename=None, sha256="0" * 64, num_bytes=1, onnx_sha256=None, parent_id=None,
                job_id=None, preprocess=None, class_names=None, report=None, error=None, meta={},
                created_at=current_time(session), deleted_at=None,
            )  # fmt: skip
            session.add(row)
        return row.id


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    engine = create_database(database_url, pool_size=1)
    migrate(engine)
    yield World(create_sessions(engine))
    engine.dispose()


def add_job(session: Session, model_id: str | None, kind: JobKind = JobKind.PRUNE) -> JobRow:
    return jobs.create_job(session, NewJob("t", kind, {}, {}, "cpu", 3, model_id=model_id))


def test_a_queued_job_is_rung_once_and_after_the_commit(world: World) -> None:
    model_id = world.add_model("ready")
    with world.sessions.begin() as session:
        first, second = add_job(session, model_id), add_job(session, model_id)
        assert world.rings == []
    assert world.rings == [(first.id, "cpu"), (second.id, "cpu")]
    assert world.states == [JobState.QUEUED, JobState.QUEUED]


def test_nothing_is_rung_after_a_rollback(world: World) -> None:
    model_id = world.add_model("ready")

    def fail() -> None:
        with world.sessions.begin() as session:
            add_job(session, model_id)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert world.rings == []


def test_nothing_is_rung_when_the_commit_fails(world: World) -> None:
    model_id = world.add_model("ready")

    def refuse(_connection: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk full"))

    def commit() -> None:
        with world.sessions.begin() as session:
            add_job(session, model_id)

    engine = world.sessions.kw["bind"]
    event.listen(engine, "commit", refuse)
    with pytest.raises(OperationalError, match="disk full"):
        commit()
    event.remove(engine, "commit", refuse)
    assert world.rings == []


def test_a_session_that_rolled_back_rings_only_for_later_commits(world: World) -> None:
    model_id = world.add_model("ready")
    with world.sessions() as session:
        add_job(session, model_id)
        session.rollback()
        kept = add_job(session, model_id).id
        session.commit()
        session.commit()
    assert world.rings == [(kept, "cpu")]


def test_a_savepoint_rings_no_worker_before_the_commit(world: World) -> None:
    model_id = world.add_model("ready")
    with world.sessions.begin() as session:
        with session.begin_nested():
            job = add_job(session, model_id)
        assert world.rings == []
    assert world.rings == [(job.id, "cpu")]


def test_a_job_that_waits_is_rung_when_its_model_is_accepted(world: World) -> None:
    model_id = world.add_model("validating")
    with world.sessions.begin() as session:
        job = add_job(session, model_id)
        intake = add_job(session, model_id, JobKind.INTAKE_MODEL)
    assert world.rings == [(intake.id, "intake")]
    onnx = StoredFile("model.onnx", "application/octet-stream", "2" * 64, 10)
    with world.sessions.begin() as session:
        held = leases.claim(session, job_id=intake.id, owner="w", lease_seconds=30)
        assert held is not None
        assert leases.finish(session, held, Outcome({}, {}, (onnx,), "model.onnx", None))
    assert world.rings[1:] == [(job.id, "cpu")]


def test_a_paused_job_is_rung_when_it_is_resumed(world: World) -> None:
    model_id = world.add_model("ready")
    with world.sessions.begin() as session:
        job_id = add_job(session, model_id).id
    with world.sessions.begin() as session:
        jobs.request_pause(session, job_id)
    assert len(world.rings) == 1
    with world.sessions.begin() as session:
        jobs.resume(session, job_id)
    assert world.rings[1:] == [(job_id, "cpu")]


def test_the_connection_is_free_again_when_workers_are_rung(world: World) -> None:
    with world.sessions.begin() as session:
        note_ring(session, "job_1", "cpu")
        current_time(session)
        assert world.pool.checkedout() == 1
    assert world.rings == [("job_1", "cpu")]
    assert world.num_connections == [0]
