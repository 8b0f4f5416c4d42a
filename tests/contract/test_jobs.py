"""State changes of jobs on SQLite and PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import update

from app.contracts.errors import ConflictError
from app.contracts.ids import new_id
from app.contracts.job import FAILURES, FailureCode, JobKind, JobState, Stage
from app.records import jobs, leases, workers
from app.records.database import Sessions, create_database, create_sessions, current_time
from app.records.events import Report, list_events
from app.records.jobs import NewJob
from app.records.leases import Claim
from app.records.line import look_along
from app.records.migrations import downgrade, upgrade
from app.records.outcomes import Outcome, StoredFile
from app.records.reaping import reap_expired
from app.records.rings import ring_after_commit
from app.records.tables import ArtifactRow, Base, DatasetRow, JobRow, ModelRow
from app.records.workers import WorkerIdentity
from tests.fixtures.databases import migrate


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = create_database(database_url)
    migrate(engine)
    yield create_sessions(engine)
    engine.dispose()


def add_model(sessions: Sessions, status: str = "ready") -> str:
    with sessions.begin() as session:
        row = ModelRow(
            id=new_id("mdl"), tenant="t", name="net", version="1", status=status, format="pt2",
            filename=None, sha256="0" * 64, num_bytes=1, onnx_sha256=None, parent_id=None,
            job_id=None, preprocess=None, class_names=None, report=None, error=None, meta={},
            created_at=current_time(session), deleted_at=None,
        )  # fmt: skip
        session.add(row)
    return row.id


def add_dataset(sessions: Sessions, status: str = "ready") -> str:
    with sessions.begin() as session:
        row = DatasetRow(
            id=new_id("ds"), tenant="t", name="d", status=status, format="npz", filename=None,
            sha256="1" * 64, num_bytes=1, preprocess={"mean": [0.5]}, error=None, meta={},
            summary={"class_names": ["cat", "dog"]}, created_at=current_time(session),
            deleted_at=None,
        )  # fmt: skip
        session.add(row)
    return row.id


def add_job(sessions: Sessions, kind: JobKind = JobKind.PRUNE, **changes: object) -> str:
    values = {"model_id": None, "dataset_id": None, "max_attempts": 3, "tenant": "t", **changes}
    with sessions.begin() as session:
        new = NewJob(kind=kind, config={}, resolved={}, device="cpu", **values)  # type: ignore[arg-type]
        return jobs.create_job(session, new).id


def claim(sessions: Sessions, job_id: str, seconds: float = 30) -> Claim | None:
    with sessions.begin() as session:
        return leases.claim(session, job_id=job_id, owner="w", lease_seconds=seconds)


def claimed(sessions: Sessions, job_id: str, seconds: float = 30) -> Claim:
    found = claim(sessions, job_id, seconds)
    assert found is not None
    return found


def begin(sessions: Sessions, held: Claim) -> None:
    """Report that the job's process works."""
    with sessions.begin() as session:
        leases.record(session, held, [], stage=Stage.INTAKE)


def state_of(sessions: Sessions, job_id: str) -> str:
    with sessions() as session:
        return session.get_one(JobRow, job_id).state


def test_tables_and_migrations_agree(database_url: str) -> None:
    engine = create_database(database_url)
    upgrade(engine)
    upgrade(engine)  # twice is harmless
    with engine.connect() as connection:
        difference = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert difference == []
    downgrade(engine)
    upgrade(engine)
    engine.dispose()


def test_a_job_is_claimed_once(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    assert claimed(sessions, job_id).attempt == 1
    assert claim(sessions, job_id) is None


def test_one_of_many_racing_workers_claims_a_job(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: claim(sessions, job_id), range(8)))
    assert sum(held is not None for held in found) == 1


def test_a_stale_worker_changes_nothing(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    stale = claimed(sessions, job_id, seconds=-1)
    with sessions.begin() as session:
        assert reap_expired(session, most_setbacks=100) == [job_id]
    with sessions.begin() as session:
        session.get_one(JobRow, job_id).not_before = None
    newer = claimed(sessions, job_id)
    outcome = Outcome({}, {}, (), None, None)
    with sessions.begin() as session:
        assert not leases.renew(session, stale, lease_seconds=30).is_held
        assert not leases.record(session, stale, [Report("progress", {}, "1")])
        assert not leases.finish(session, stale, outcome)
        assert not leases.fail(session, stale, FailureCode.INTERNAL, "", None)
        assert not leases.hand_back(session, stale)
        assert leases.renew(session, newer, lease_seconds=30).is_held
    assert state_of(sessions, job_id) == JobState.RUNNING


def test_a_lost_worker_is_retried_with_back_off_until_attempts_are_spent(
    sessions: Sessions,
) -> None:
    job_id = add_job(sessions, max_attempts=2)
    begin(sessions, claimed(sessions, job_id, seconds=-1))
    with sessions.begin() as session:
        reap_expired(session, most_setbacks=100)
    assert claim(sessions, job_id) is None  # it backs off
    with sessions.begin() as session:
        session.get_one(JobRow, job_id).not_before = None
    begin(sessions, claimed(sessions, job_id, seconds=-1))
    with sessions.begin() as session:
        reap_expired(session, most_setbacks=100)
    with sessions() as session:
        job = session.get_one(JobRow, job_id)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == FailureCode.WORKER_LOST


def test_handing_back_does_not_count_the_attempt(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    held = claimed(sessions, job_id)
    with sessions.begin() as session:
        assert leases.hand_back(session, held)
    assert claimed(sessions, job_id).attempt == 1


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_through_its_worker(
    sessions: Sessions,
) -> None:
    queued, running = add_job(sessions), add_job(sessions)
    held = claimed(sessions, running)
    with sessions.begin() as session:
        assert jobs.request_cancel(session, queued).state == JobState.CANCELLED
        assert jobs.request_cancel(session, running).state == JobState.CANCELLING
        assert leases.renew(session, held, lease_seconds=30).is_cancel_requested
        assert leases.mark_cancelled(session, held)
    assert state_of(sessions, running) == JobState.CANCELLED
    with pytest.raises(ConflictError, match="has ended"), sessions.begin() as session:
        jobs.request_cancel(session, running)


def test_a_job_waits_for_intake_and_is_released_by_it(sessions: Sessions) -> None:
    model_id, dataset_id = add_model(sessions, "validating"), add_dataset(sessions)
    job_id = add_job(sessions, model_id=model_id, dataset_id=dataset_id)
    assert state_of(sessions, job_id) == JobState.VALIDATING
    intake = add_job(sessions, JobKind.INTAKE_MODEL, model_id=model_id)
    onnx = StoredFile("model.onnx", "application/octet-stream", "2" * 64, 10)
    outcome = Outcome({}, {"macs": 1}, (onnx,), "model.onnx", None)
    with sessions.begin() as session:
        held = leases.claim(session, job_id=intake, owner="w", lease_seconds=30)
        assert held is not None
        assert leases.finish(session, held, outcome)
    assert state_of(sessions, job_id) == JobState.QUEUED


def test_a_rejected_model_fails_the_jobs_that_wait_for_it(sessions: Sessions) -> None:
    model_id = add_model(sessions, "validating")
    job_id = add_job(sessions, model_id=model_id)
    held = claimed(sessions, add_job(sessions, JobKind.INTAKE_MODEL, model_id=model_id))
    with sessions.begin() as session:
        code = FailureCode.MODEL_REJECTED
        leases.fail(session, held, code, "a pickle", Stage.INTAKE, "Save the program.")
    with sessions() as session:
        job, model = session.get_one(JobRow, job_id), session.get_one(ModelRow, model_id)
    assert (job.state, model.status) == (JobState.FAILED, "rejected")
    for error in (job.error, model.error):
        assert error is not None
        assert (error["message"], error["hint"]) == ("a pickle", "Save the program.")


def test_an_error_without_a_hint_gets_that_of_its_code(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    held = claimed(sessions, job_id)
    with sessions.begin() as session:
        leases.fail(session, held, FailureCode.NAN_LOSS, "NaN in epoch 1", Stage.RETRAIN)
    with sessions() as session:
        error = session.get_one(JobRow, job_id).error
    assert error is not None
    assert error["hint"] == FAILURES[FailureCode.NAN_LOSS].hint


def test_finishing_makes_artifacts_and_the_next_version_in_one_transaction(
    sessions: Sessions,
) -> None:
    model_id, dataset_id = add_model(sessions), add_dataset(sessions)
    job_id = add_job(sessions, model_id=model_id, dataset_id=dataset_id)
    held = claimed(sessions, job_id)
    names = ("model.onnx", "pruned.pt2", "model_int8.onnx")
    files = tuple(
        StoredFile(name, "application/octet-stream", str(n) * 64, n)
        for n, name in enumerate(names, start=3)
    )
    outcome = Outcome({"summary": {}}, {"macs": 5}, files, *names)
    with sessions.begin() as session:
        assert leases.finish(session, held, outcome)
    with sessions() as session:
        result = session.get_one(JobRow, job_id).result
        assert result is not None
        model = session.get_one(ModelRow, result["model"])
        artifacts = session.query(ArtifactRow).filter_by(job_id=job_id).count()
    assert (model.version, model.parent_id, model.status) == ("2", model_id, "ready")
    assert (model.class_names, model.preprocess) == (["cat", "dog"], {"mean": [0.5]})
    assert (model.onnx_sha256, model.sha256, artifacts) == ("3" * 64, "4" * 64, 3)
    assert model.int8_sha256 == "5" * 64


def test_events_are_numbered_without_gaps_and_written_with_the_change(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    held = claimed(sessions, job_id)
    kinds = ("progress", "metric", "progress")
    reports = [Report(kind, {}, str(number)) for number, kind in enumerate(kinds)]
    with sessions.begin() as session:
        leases.record(session, held, reports[:2])
    with sessions.begin() as session:
        leases.record(session, held, reports)
        session.rollback()
    with sessions() as session:
        events = list_events(session, job_id=job_id, after=0, limit=100)
    assert [event.number for event in events] == [1, 2, 3, 4]
    assert [event.type for event in events][:2] == ["job.queued", "job.running"]


def test_a_warning_is_written_once_and_can_be_withdrawn(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    held = claimed(sessions, job_id)
    for warnings, withdrawn in ((["a", "b"], []), (["b", "c"], ["a"]), ([], ["c"])):
        with sessions.begin() as session:
            assert leases.record(session, held, [], warnings=warnings, withdrawn=withdrawn)
    with sessions() as session:
        assert session.get_one(JobRow, job_id).warnings == ["b"]


def test_a_queue_is_rung_once_a_tick_or_once_for_each_idle_slot(sessions: Sessions) -> None:
    held = claimed(sessions, add_job(sessions))
    for _ in range(10):
        add_job(sessions)
    rings: list[tuple[str, str]] = []
    ring_after_commit(sessions, lambda job_id, queue: rings.append((job_id, queue)))

    def tick() -> list[str]:
        rings.clear()
        with sessions.begin() as session:
            jobs.ring_again(session)
        return [queue for _, queue in rings]

    assert tick() == ["cpu"]  # without a worker
    with sessions.begin() as session:
        workers.report(session, WorkerIdentity("w", ("cpu",), "cpu", 4))
    assert tick() == ["cpu"] * 3  # one of four slots is busy
    assert held.job_id not in {job_id for job_id, _ in rings}
    with sessions.begin() as session:
        session.execute(update(JobRow).values(not_before=current_time(session) + 60))
    assert tick() == []  # none is due


def claim_next(sessions: Sessions) -> str | None:
    with sessions.begin() as session:
        found = leases.claim_next(session, queue="cpu", owner="w", lease_seconds=30)
    return found.job_id if found is not None else None


def test_tenants_take_turns(sessions: Sessions) -> None:
    many = [add_job(sessions, tenant="many") for _ in range(4)]
    few = [add_job(sessions, tenant="few") for _ in range(2)]
    with sessions() as session:
        line = look_along(session, "cpu")
    order = [claim_next(sessions) for _ in range(7)]
    assert order == [many[0], few[0], many[1], few[1], many[2], many[3], None]
    assert sorted(line.positions, key=lambda job_id: line.positions[job_id]) == order[:-1]


def test_positions_and_times_of_the_line_are_known(sessions: Sessions) -> None:
    done, running, *waiting = [add_job(sessions) for _ in range(4)]
    held = claimed(sessions, done)
    with sessions.begin() as session:
        session.get_one(JobRow, done).claimed_at = current_time(session) - 60
        session.get_one(JobRow, done).kind = JobKind.PLAN
        leases.finish(session, held, Outcome({}, {}, (), None, None))
    claimed(sessions, running)
    with sessions() as session:
        line = look_along(session, "cpu")
    assert [line.positions[job_id] for job_id in waiting] == [0, 1]
    assert line.seconds_a_job == pytest.approx(60, abs=5)


def test_racing_workers_get_one_job_each(sessions: Sessions) -> None:
    posted = {add_job(sessions) for _ in range(12)}
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: claim_next(sessions), range(12)))
    assert set(found) == posted


def test_a_job_that_is_not_due_is_skipped(sessions: Sessions) -> None:
    first, second = add_job(sessions), add_job(sessions)
    with sessions.begin() as session:
        session.get_one(JobRow, first).not_before = current_time(session) + 60
    assert [claim_next(sessions), claim_next(sessions)] == [second, None]


def test_a_queued_job_is_paused_at_once_and_a_running_one_through_its_worker(
    sessions: Sessions,
) -> None:
    running, queued = add_job(sessions), add_job(sessions)
    held = claimed(sessions, running)
    with sessions.begin() as session:
        assert jobs.request_pause(session, queued).state == JobState.PAUSED
        assert jobs.request_pause(session, running).state == JobState.PAUSING
        assert leases.renew(session, held, lease_seconds=30).is_pause_requested
        assert leases.hand_back(session, held)
    assert claim_next(sessions) is None
    with sessions.begin() as session:
        row = session.get_one(JobRow, running)
        assert (row.state, row.attempt, row.lease_owner) == (JobState.PAUSED, 0, None)
        assert row.paused_at is not None
        assert not leases.renew(session, held, lease_seconds=30).is_held
        assert jobs.resume(session, running).state == JobState.QUEUED
    assert claim_next(sessions) == running
    with pytest.raises(ConflictError, match="only a paused job"), sessions.begin() as session:
        jobs.resume(session, running)


def test_a_paused_job_can_be_cancelled_and_one_being_paused_too(sessions: Sessions) -> None:
    paused, pausing = add_job(sessions), add_job(sessions)
    held = claimed(sessions, pausing)
    with sessions.begin() as session:
        jobs.request_pause(session, paused)
        jobs.request_pause(session, pausing)
        assert jobs.request_cancel(session, paused).state == JobState.CANCELLED
        assert jobs.request_cancel(session, pausing).state == JobState.CANCELLING
        assert leases.hand_back(session, held)
    assert state_of(sessions, pausing) == JobState.CANCELLED


def test_a_job_may_end_before_its_worker_hears_of_the_pause(sessions: Sessions) -> None:
    job_id = add_job(sessions, model_id=add_model(sessions))
    held = claimed(sessions, job_id)
    file = StoredFile("model.onnx", "application/octet-stream", "3" * 64, 3)
    with sessions.begin() as session:
        jobs.request_pause(session, job_id)
        assert leases.finish(session, held, Outcome({}, {}, (file,), "model.onnx", None))
    assert state_of(sessions, job_id) == JobState.SUCCEEDED


def test_a_worker_lost_while_pausing_leaves_the_job_paused(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    claimed(sessions, job_id, seconds=-1)
    with sessions.begin() as session:
        jobs.request_pause(session, job_id)
        reap_expired(session, most_setbacks=100)
    assert state_of(sessions, job_id) == JobState.PAUSED


def test_only_jobs_that_did_not_start_in_time_expire(sessions: Sessions) -> None:
    late, begun, patient = (add_job(sessions, start_within_seconds=s) for s in (-1, -1, 3600))
    held = claimed(sessions, begun)
    with sessions.begin() as session:
        assert leases.hand_back(session, held)
        assert jobs.expire_overdue(session) == [late]
    states = [state_of(sessions, job_id) for job_id in (late, begun, patient)]
    assert states == [JobState.EXPIRED, JobState.QUEUED, JobState.QUEUED]


def test_running_time_adds_up_over_attempts(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    for _ in range(2):
        held = claimed(sessions, job_id)
        with sessions.begin() as session:
            session.get_one(JobRow, job_id).claimed_at = current_time(session) - 10
            leases.hand_back(session, held)
    with sessions() as session:
        assert session.get_one(JobRow, job_id).seconds_run == pytest.approx(20, abs=1)


def test_a_stale_worker_keeps_no_checkpoint(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    stale = claimed(sessions, job_id)
    with sessions.begin() as session:
        assert leases.keep_checkpoint(session, stale, {"a": "1"}, 100) == ()
        assert leases.keep_checkpoint(session, stale, {"a": "2"}, 100) == ("1",)
        session.get_one(JobRow, job_id).lease_token += 1
        session.flush()
        assert leases.keep_checkpoint(session, stale, {"a": "3"}, 100) == ("3",)
    with sessions() as session:
        found = session.get_one(JobRow, job_id).checkpoint
    assert found == {"token": 1, "files": {"a": "2"}}


def test_out_of_memory_halves_the_batch_once(sessions: Sessions) -> None:
    job_id = add_job(sessions)
    for divisor, state in ((2, JobState.QUEUED), (2, JobState.FAILED)):
        with sessions.begin() as session:
            session.get_one(JobRow, job_id).not_before = None
        held = claimed(sessions, job_id)
        with sessions.begin() as session:
            assert leases.retry_smaller_or_fail(session, held, "no memory", Stage.RETRAIN, 128)
        with sessions() as session:
            row = session.get_one(JobRow, job_id)
            assert (row.batch_divisor, row.state) == (divisor, state)
    assert row.error is not None
    assert row.error["message"] == "no memory; a second attempt with batches of 64 failed too."
    assert "retrain.batch_size below 64" in row.error["hint"]


def test_an_intake_that_runs_out_of_memory_does_not_mention_batches(sessions: Sessions) -> None:
    job_id = add_job(sessions, JobKind.INTAKE_DATASET, dataset_id=add_dataset(sessions))
    held = claimed(sessions, job_id)
    with sessions.begin() as session:
        leases.retry_smaller_or_fail(session, held, "no memory", Stage.INTAKE, 128)
    with sessions() as session:
        error = session.get_one(JobRow, job_id).error
    assert error is not None
    assert error["message"] == "no memory"
    assert error["hint"].startswith("Use a smaller data set")
