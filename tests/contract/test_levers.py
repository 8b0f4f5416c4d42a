"""Levers on SQLite and PostgreSQL: cordons, drains, paused queues, and jobs tried again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import text

from app.contracts.errors import ConflictError, NotFoundError
from app.contracts.ids import new_id
from app.contracts.job import FailureCode, JobKind, Stage
from app.records import jobs, leases, levers, line, workers
from app.records.database import Sessions, create_database, create_sessions, current_time
from app.records.events import list_events
from app.records.jobs import NewJob
from app.records.leases import Claim
from app.records.tables import JobRow, ModelRow, WorkerRow
from app.records.workers import WorkerIdentity
from tests.fixtures.databases import migrate

KEDA = Path(__file__).parents[2] / "deploy/kubernetes/overlays/keda/scaling.yaml"
ONE, TWO = (
    WorkerIdentity("host:1", ("cpu",), "cpu", 1),
    WorkerIdentity("host:2", ("cpu",), "cpu", 1),
)


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = create_database(database_url)
    migrate(engine)
    found = create_sessions(engine)
    for worker in (ONE, TWO):
        with found.begin() as session:
            workers.report(session, worker)
    yield found
    engine.dispose()


def add_job(sessions: Sessions, model_id: str | None = None) -> str:
    with sessions.begin() as session:
        new = NewJob("t", JobKind.PRUNE, {}, {}, "cpu", 2, model_id=model_id)
        return jobs.create_job(session, new).id


def claim(sessions: Sessions, worker: WorkerIdentity) -> Claim | None:
    with sessions.begin() as session:
        return leases.claim_next(session, queue="cpu", owner=worker.name, lease_seconds=30)


def fail(sessions: Sessions, job_id: str) -> None:
    with sessions.begin() as session:
        held = leases.claim(session, job_id=job_id, owner="w", lease_seconds=30)
        assert held is not None
        leases.fail(session, held, FailureCode.INTERNAL, "broken", Stage.RETRAIN)


def test_a_cordoned_worker_keeps_its_job_and_claims_no_other(sessions: Sessions) -> None:
    add_job(sessions)
    held = claim(sessions, ONE)
    assert held is not None
    second = add_job(sessions)
    with sessions.begin() as session:
        levers.cordon(session, ONE.name)
        workers.report(session, ONE)  # its heartbeat does not undo it
    assert claim(sessions, ONE) is None
    with sessions.begin() as session:
        status = leases.renew(session, held, lease_seconds=30)
        assert status.is_held
        assert not status.is_drain_requested
        levers.uncordon(session, session.get_one(WorkerRow, ONE.name).public_id)
    claimed = claim(sessions, ONE)
    assert claimed is not None
    assert claimed.job_id == second


def test_a_drained_worker_hears_of_it_when_it_renews_its_lease(sessions: Sessions) -> None:
    add_job(sessions)
    held = claim(sessions, ONE)
    assert held is not None
    with sessions.begin() as session:
        levers.drain(session, ONE.name)
        assert leases.renew(session, held, lease_seconds=30).is_drain_requested
        leases.hand_back(session, held, "the worker was drained")
    assert claim(sessions, ONE) is None
    again = claim(sessions, TWO)
    assert again is not None
    assert again.attempt == 1, "it costs no attempt"


def test_a_cordoned_worker_counts_as_nobody(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    with sessions.begin() as session:
        session.get_one(JobRow, job_id).avoided_owners = f" {ONE.name} "
        levers.cordon(session, TWO.name)
        assert line.look_along(session, "cpu").num_slots == 1
    assert claim(sessions, ONE) is not None, "the other worker would not take it"


def test_only_workers_and_queues_that_are_there_can_be_moved(sessions: Sessions) -> None:
    with sessions() as session:
        for lever in (levers.cordon, levers.drain, levers.uncordon):
            with pytest.raises(NotFoundError, match="no worker 'gone:1'"):
                lever(session, "gone:1")
        for queue in ("maintenance", "nothing"):
            with pytest.raises(NotFoundError, match="cpu, gpu, intake"):
                levers.pause_queue(session, queue)


def test_a_paused_queue_gives_out_nothing_until_it_is_resumed(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    for _ in range(2):  # idempotent
        with sessions.begin() as session:
            levers.pause_queue(session, "cpu")
    assert claim(sessions, ONE) is None
    with sessions.begin() as session:
        found = line.look_along(session, "cpu")
        assert found.positions == {job_id: 0}
        assert (found.waits, found.wait_of_next, found.num_slots) == ({job_id: None}, None, 0)
        rung: list[str] = session.info.setdefault("rings.noted", [])
        jobs.ring_again(session)
        assert rung == []
        levers.resume_queue(session, "cpu")
        jobs.ring_again(session)
        assert rung == [(job_id, "cpu")]
    assert claim(sessions, ONE) is not None


def test_keda_counts_the_jobs_that_need_a_worker(sessions: Sessions) -> None:
    """Its query runs on PostgreSQL only."""
    scaled = next(yaml.safe_load_all(KEDA.read_text()))
    query = text(scaled["spec"]["triggers"][0]["metadata"]["query"])

    def count() -> int:
        with sessions() as session:
            return int(session.execute(query).scalar_one())

    with sessions() as session:
        if session.get_bind().dialect.name != "postgresql":
            return
    _, later = add_job(sessions), add_job(sessions)
    with sessions.begin() as session:
        session.get_one(JobRow, later).not_before = current_time(session) + 60
    assert count() == 1
    assert claim(sessions, ONE) is not None
    add_job(sessions)
    assert count() == 2
    with sessions.begin() as session:
        levers.pause_queue(session, "cpu")
    assert count() == 1, "the running one"


def test_a_failed_job_is_tried_again_with_all_its_attempts(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    fail(sessions, job_id)
    with sessions.begin() as session:
        job = session.get_one(JobRow, job_id)
        job.attempt, job.num_setbacks, job.seconds_run = 2, 7, 100.0
        job.avoided_owners, job.checkpoint = " w ", {"token": 1, "files": {}}
        jobs.retry(session, job_id)
    with sessions() as session:
        job = session.get_one(JobRow, job_id)
        assert (job.state, job.error, job.finished_at) == ("queued", None, None)
        assert (job.attempt, job.num_setbacks, job.seconds_run) == (0, 0, 0.0)
        assert (job.avoided_owners, job.not_before) == (None, None)
        assert job.checkpoint is not None
        last = list_events(session, job_id=job_id, after=0, limit=10)[-1]
        assert (last.type, last.data) == ("job.queued", {"reason": "tried again"})
    held = claim(sessions, ONE)
    assert held is not None
    assert held.attempt == 1


def test_only_a_failed_job_whose_model_is_there_is_tried_again(sessions: Sessions) -> None:
    with sessions.begin() as session:
        model = ModelRow(
            id=new_id("mdl"), tenant="t", name="net", version="1", status="ready", format="pt2",
            filename=None, sha256="0" * 64, num_bytes=1, onnx_sha256=None, parent_id=None,
            job_id=None, preprocess=None, class_names=None, report=None, error=None, meta={},
            created_at=current_time(session), deleted_at=None,
        )  # fmt: skip
        session.add(model)
    job_id = add_job(sessions, model.id)
    with sessions.begin() as session, pytest.raises(ConflictError, match="only a failed job"):
        jobs.retry(session, job_id)
    fail(sessions, job_id)
    with sessions.begin() as session:
        session.get_one(ModelRow, model.id).deleted_at = 1.0
    with sessions.begin() as session, pytest.raises(ConflictError, match="is deleted"):
        jobs.retry(session, job_id)
