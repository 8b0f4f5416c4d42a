"""The worker's runner from a claim to an ending, with real processes, rows and objects."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from app.contracts.job import JobKind
from app.records import jobs, levers, workers
from app.records.tables import ArtifactRow, JobRow, ModelRow
from app.records.workers import WorkerIdentity
from app.telemetry.tracing import enter_trace
from tests.integration.worker import scripted_child
from tests.integration.worker.world import World, wait_for
from worker.fork_server.client import ForkServer
from worker.orphans import clean_orphans, note_processes

log = structlog.get_logger(__name__)

BROKEN = "tests.integration.worker.broken_child"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}  # where they are found


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    secrets = {"SECATEUR_SECRET": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    with closing(ForkServer(scripted_child.__name__, ENVIRONMENT | secrets)) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, server: ForkServer) -> World:
    return World(tmp_path, server)


def test_a_job_succeeds_with_its_files_and_a_new_model(world: World) -> None:
    job_id = world.post(scripted_child.SUCCEED)
    world.runner.run_job(job_id)
    job = world.job(job_id)
    assert (job.state, job.stage) == ("succeeded", "saliency")
    assert job.result is not None
    assert job.result["version"] == "2"
    assert job.result["summary"]["leaked"] == []
    with world.sessions() as session:
        rows = session.query(ArtifactRow).filter_by(job_id=job_id).all()
        contents = {row.name: b"".join(world.store.stream(row.sha256)) for row in rows}
        model = session.get_one(ModelRow, job.result["model"])
    int8 = scripted_child.INT8_ONNX
    assert contents == {
        "model.onnx": scripted_child.ONNX,
        "model_int8.onnx": int8,
        "plan.json": b"{}",
    }
    assert model.int8_sha256 == hashlib.sha256(int8).hexdigest()
    assert world.events(job_id) == ["job.queued", "job.running", "stage.started", "job.succeeded"]
    assert not (world.settings.scratch_dir / "jobs" / job_id).exists()


def test_the_log_of_a_job_names_the_trace_of_its_post(world: World) -> None:
    enter_trace("4bf92f3577b34da6a3ce929d0e0e4736")
    traced = world.post(scripted_child.SUCCEED)
    enter_trace(None)
    plain = world.post(scripted_child.SUCCEED)
    with capture_logs([merge_contextvars]) as lines:
        for job_id in (traced, plain):
            world.runner.run_job(job_id)
    claimed = {x["job_id"]: x.get("trace_id") for x in lines if x["event"] == "job.claimed"}
    assert claimed == {traced: "4bf92f3577b34da6a3ce929d0e0e4736", plain: None}


def test_every_line_of_a_job_names_its_request_tenant_and_worker(world: World) -> None:
    with bound_contextvars(request_id="req_1"):
        job_id = world.post(scripted_child.DIE, tenant="acme")
    with capture_logs([merge_contextvars]) as lines:
        world.runner.run_job(job_id)
        log.info("afterwards")
    *of_job, after = lines
    assert {line["event"] for line in of_job} >= {
        "job.claimed", "job.process_started", "job.process_failed", "job.left",
    }  # fmt: skip
    for line in of_job:
        found = [line.get(name) for name in ("job_id", "request_id", "tenant", "worker", "kind")]
        assert found == [job_id, "req_1", "acme", world.runner.owner, "prune"], line
    assert not {"job_id", "request_id", "tenant"} & set(after)


def test_messages_of_a_stopping_process_are_read(world: World) -> None:
    job_id = world.post(scripted_child.LAST_WORDS)
    thread = world.run_in_thread(job_id)
    world.stopping.set()
    thread.join()
    assert world.job(job_id).state == "queued"
    assert "metric" in world.events(job_id)


def test_running_a_job_twice_has_one_effect(world: World) -> None:
    job_id = world.post(scripted_child.SUCCEED)
    world.runner.run_job(job_id)
    world.runner.run_job(job_id)
    with world.sessions() as session:
        assert session.query(ModelRow).filter_by(job_id=job_id).count() == 1


def test_a_failed_child_fails_the_job_with_its_reason(world: World) -> None:
    job_id = world.post(scripted_child.FAIL)
    world.runner.run_job(job_id)
    error = world.job(job_id).error
    assert error is not None
    assert (error["code"], error["message"]) == ("data_error", "labels go up to 9")
    assert (error["stage"], error["retryable"]) == ("retrain", False)
    assert error["hint"]


@pytest.mark.parametrize("script", [scripted_child.FOREIGN_DATA, scripted_child.FOREIGN_INT8])
def test_an_onnx_file_with_data_in_another_file_is_not_stored(script: int, world: World) -> None:
    job_id = world.post(script)
    world.runner.run_job(job_id)
    job = world.job(job_id)
    assert job.error is not None
    assert (job.state, job.error["code"]) == ("failed", "export_failed")
    assert "keeps the tensor 'w' in another file" in job.error["message"]
    stored = hashlib.sha256(scripted_child.ONNX_WITH_FOREIGN_DATA).hexdigest()
    with pytest.raises(FileNotFoundError):
        list(world.store.stream(stored))


def test_a_killed_child_is_tried_again_and_then_succeeds(world: World) -> None:
    job_id = world.post(scripted_child.DIE_ONCE)
    world.runner.run_job(job_id)
    assert world.job(job_id).state == "queued"
    world.make_due(job_id)
    world.runner.run_job(job_id)
    job = world.job(job_id)
    assert (job.state, job.attempt) == ("succeeded", 2)


def test_a_child_that_is_always_killed_fails_when_attempts_are_spent(world: World) -> None:
    job_id = world.post(scripted_child.DIE)
    for _ in range(2):
        world.make_due(job_id)
        world.runner.run_job(job_id)
    job = world.job(job_id)
    assert job.error is not None
    # Nothing says that it was for memory (tests/unit/test_memory_kills.py), so it is not said.
    assert (job.state, job.error["code"]) == ("failed", "internal")
    assert job.error["message"].endswith("SIGKILL")


def test_a_worker_that_cannot_start_a_process_leaves_the_job_to_others(
    tmp_path: Path, server: ForkServer
) -> None:
    with closing(ForkServer(BROKEN, {**ENVIRONMENT, "LC_ALL": "missing"})) as broken:
        world = World(tmp_path, broken)
        job_id = world.post(scripted_child.SUCCEED)
        world.runner.run_job(job_id)
        assert (world.job(job_id).state, world.job(job_id).num_setbacks) == ("queued", 1)
        world.make_due(job_id)
        world.runner.run_job(job_id)
        assert world.job(job_id).num_setbacks == 1, "it rests before it tries again"
    world.server = server
    world.on_another_machine(tmp_path / "other").run_job(job_id)
    assert (world.job(job_id).state, world.job(job_id).attempt) == ("succeeded", 1)


def test_a_job_that_no_worker_can_start_has_a_reason(tmp_path: Path) -> None:
    world = None
    for _ in range(2):
        with closing(ForkServer(BROKEN, {**ENVIRONMENT, "LC_ALL": "missing"})) as broken:
            if world is None:
                world = World(tmp_path, broken, max_setbacks=1)
                job_id = world.post(scripted_child.SUCCEED)
            world.server = broken
            world.make_due(job_id)
            world.on_another_machine(tmp_path / "other").run_job(job_id)
    assert world is not None
    job = world.job(job_id)
    assert job.error is not None
    assert (job.state, job.error["code"]) == ("failed", "worker_unfit")
    assert "No module named 'onnx_that_is_not_there'" in job.error["message"]
    assert "secateur doctor" in job.error["hint"]


def test_garbage_on_the_pipe_is_an_internal_failure(world: World) -> None:
    job_id = world.post(scripted_child.GARBLE)
    world.runner.run_job(job_id)
    job = world.job(job_id)
    assert job.error is not None
    assert job.error["code"] == "internal"
    assert "message" not in job.error["message"].lower() or "not a message" not in str(job.error)


def test_a_job_is_cancelled_in_every_stage_even_if_its_child_ignores_it(
    tmp_path: Path, server: ForkServer
) -> None:
    """With the default heartbeat and grace time; the service promises 15 s."""
    world = World(tmp_path, server, heartbeat_seconds=3.0, cancel_grace_seconds=5.0)
    stages: dict[str, str] = {}
    threads = []
    for number, stage in enumerate(scripted_child.STAGES):
        job_id = world.post(scripted_child.STUBBORN, number)
        stages[job_id] = stage
        threads.append(world.run_in_thread(job_id, stage))
    with world.sessions.begin() as session:
        for job_id in stages:
            assert jobs.request_cancel(session, job_id).state == "cancelling"
    for thread in threads:
        thread.join(60)
    for job_id, stage in stages.items():
        job = world.job(job_id)
        assert (job.state, job.stage) == ("cancelled", stage)
        assert job.finished_at is not None
        assert job.cancel_requested_at is not None
        assert job.finished_at - job.cancel_requested_at < 15


def test_a_job_that_stops_on_cancellation_is_not_killed(world: World) -> None:
    job_id = world.post(scripted_child.HANG)
    thread = world.run_in_thread(job_id)
    with world.sessions.begin() as session:
        jobs.request_cancel(session, job_id)
    thread.join(15)
    assert world.job(job_id).state == "cancelled"


def test_slow_uploads_of_one_tenant_leave_a_slot_to_another(world: World) -> None:
    """As an intake worker with three slots does, all of them rung."""

    def upload(script: int, tenant: str) -> str:
        return world.post(script, tenant=tenant, kind=JobKind.INTAKE_MODEL)

    slow = [upload(scripted_child.HANG, "a") for _ in range(6)]
    threads = [world.run_in_thread(job_id) for job_id in slow[:2]]
    world.runner.run_job(slow[2])  # the third slot: it returns, although four of them wait
    assert [world.job(job_id).state for job_id in slow] == ["running"] * 2 + ["queued"] * 4
    quick = upload(scripted_child.FAIL, "b")
    world.runner.run_job(quick)
    assert world.job(quick).state == "failed"
    world.stopping.set()
    for thread in threads:
        thread.join(15)


def test_a_worker_that_shuts_down_hands_the_job_back(world: World) -> None:
    job_id = world.post(scripted_child.HANG)
    thread = world.run_in_thread(job_id)
    world.stopping.set()
    thread.join(15)
    job = world.job(job_id)
    assert (job.state, job.attempt) == ("queued", 0)


def test_a_lost_lease_stops_the_child_and_changes_nothing(world: World) -> None:
    job_id = world.post(scripted_child.HANG)
    thread = world.run_in_thread(job_id)
    with world.sessions.begin() as session:
        job = session.get_one(JobRow, job_id)
        job.lease_token += 1  # somebody else claimed it
    events = world.events(job_id)
    thread.join(15)
    assert not thread.is_alive()
    assert world.job(job_id).state == "running"
    assert world.events(job_id) == events


def test_a_job_past_its_time_limit_is_stopped(tmp_path: Path, server: ForkServer) -> None:
    world = World(tmp_path, server, time_limit_seconds=1.0)
    job_id = world.post(scripted_child.HANG)
    world.runner.run_job(job_id)
    job = world.job(job_id)
    assert job.error is not None
    assert job.error["code"] == "time_limit"


def test_a_child_that_is_silent_for_too_long_is_stopped(tmp_path: Path, server: ForkServer) -> None:
    world = World(tmp_path, server, progress_timeout_seconds=1.0)
    job_id = world.post(scripted_child.HANG)
    world.runner.run_job(job_id)
    assert world.job(job_id).state == "queued", "the machine may be at fault: it is tried again"
    world.make_due(job_id)
    world.runner.run_job(job_id)
    job = world.job(job_id)
    assert job.error is not None
    assert job.error["code"] == "time_limit"
    assert "no progress" in job.error["message"]


def test_a_paused_job_is_saved_let_go_and_goes_on_on_another_machine(
    tmp_path: Path, server: ForkServer
) -> None:
    world = World(tmp_path / "here", server, checkpoint_seconds=3600)
    job_id = world.post(scripted_child.SAVE)
    thread = world.run_in_thread(job_id)
    wait_for(lambda: world.job(job_id).checkpoint is not None)
    with world.sessions.begin() as session:
        assert jobs.request_pause(session, job_id).state == "pausing"
    thread.join(15)
    job = world.job(job_id)
    assert (job.state, job.attempt, job.lease_owner) == ("paused", 0, None)
    assert job.seconds_run > 0
    with world.sessions.begin() as session:
        jobs.resume(session, job_id)
    there = world.on_another_machine(tmp_path / "there")
    there.run_job(job_id)
    job = world.job(job_id)
    assert (job.state, job.attempt) == ("succeeded", 1)
    assert job.result is not None
    assert job.result["summary"]["saved"] == {"state.bin": "epoch 1"}
    assert "job.paused" in world.events(job_id)


def test_a_drained_worker_saves_its_job_and_another_goes_on_with_it(
    tmp_path: Path, server: ForkServer
) -> None:
    world = World(tmp_path / "here", server, checkpoint_seconds=3600)
    with world.sessions.begin() as session:
        workers.report(session, WorkerIdentity(world.runner.owner, ("cpu",), "cpu", 1))
    job_id = world.post(scripted_child.SAVE)
    thread = world.run_in_thread(job_id)
    wait_for(lambda: world.job(job_id).checkpoint is not None)
    with world.sessions.begin() as session:
        levers.drain(session, world.runner.owner)
    thread.join(15)
    job = world.job(job_id)
    assert (job.state, job.attempt, job.lease_owner) == ("queued", 0, None)
    world.runner.run_job(job_id)  # it claims no job while it is cordoned
    assert world.job(job_id).state == "queued"
    world.on_another_machine(tmp_path / "there").run_job(job_id)
    job = world.job(job_id)
    assert (job.state, job.attempt) == ("succeeded", 1)
    assert job.result is not None
    assert job.result["summary"]["saved"] == {"state.bin": "epoch 1"}


def test_a_damaged_checkpoint_costs_time_and_not_the_job(
    tmp_path: Path, server: ForkServer
) -> None:
    world = World(tmp_path / "here", server)
    job_id = world.post(scripted_child.SUCCEED)
    path = tmp_path / "noise"
    path.write_bytes(b"not a tar")
    stored = {"token": 7, "files": {"checkpoint.tar": world.store.put_file(path)}}
    with world.sessions.begin() as session:
        session.get_one(JobRow, job_id).checkpoint = stored
    world.runner.run_job(job_id)
    assert world.job(job_id).state == "succeeded"


def test_a_superseded_checkpoint_is_deleted(tmp_path: Path, server: ForkServer) -> None:
    world = World(tmp_path, server)
    job_id = world.post(scripted_child.SAVE)
    thread = world.run_in_thread(job_id)
    wait_for(lambda: world.job(job_id).checkpoint is not None)
    first = world.job(job_id).checkpoint
    assert first is not None
    files = world.settings.scratch_dir / "jobs" / job_id / "checkpoints" / "files" / "run"
    (files / "state.bin").write_bytes(b"epoch 2")
    world.stopping.set()  # handing back stores what changed
    thread.join(15)
    second = world.job(job_id).checkpoint
    assert second is not None
    assert second["files"] != first["files"]
    assert not world.store.has(first["files"]["checkpoint.tar"])
    assert world.store.has(second["files"]["checkpoint.tar"])


def test_a_job_that_runs_out_of_memory_is_tried_once_with_smaller_batches(world: World) -> None:
    job_id = world.post(scripted_child.NO_MEMORY)
    world.runner.run_job(job_id)
    assert world.job(job_id).state == "queued"
    world.make_due(job_id)
    world.runner.run_job(job_id)
    job = world.job(job_id)
    assert job.result is not None
    assert job.result["summary"]["batch_size"] == 64
    assert job.warnings == ["out of memory in attempt 1: trying again with batches of 64"]


def test_a_job_that_runs_out_of_memory_twice_fails_with_the_reason(world: World) -> None:
    job_id = world.post(scripted_child.NO_MEMORY)
    with world.sessions.begin() as session:
        row = session.get_one(JobRow, job_id)
        row.resolved = {"seed": scripted_child.NO_MEMORY, "retrain": {"batch_size": 512}}
        row.max_attempts = 9
    for _ in range(3):
        world.make_due(job_id)
        world.runner.run_job(job_id)
    job = world.job(job_id)
    assert job.error is not None
    assert (job.state, job.error["code"], job.attempt) == ("failed", "out_of_memory", 2)


def test_a_job_over_the_limit_on_memory_says_so(tmp_path: Path, server: ForkServer) -> None:
    world = World(tmp_path, server, memory_bytes=150 * 1024**2)
    job_id = world.post(scripted_child.FILL)
    for _ in range(2):
        world.make_due(job_id)
        world.runner.run_job(job_id)
    job = world.job(job_id)
    assert job.error is not None
    assert (job.state, job.error["code"], job.attempt) == ("failed", "out_of_memory", 2)
    assert job.error["message"].startswith("used ")
    assert " bytes of memory; the limit is 157,286,400" in job.error["message"]


def test_a_job_with_too_many_threads_is_not_tried_again(tmp_path: Path, server: ForkServer) -> None:
    world = World(tmp_path, server, job_threads=100)
    job_id = world.post(scripted_child.CROWD)
    world.runner.run_job(job_id)
    job = world.job(job_id)
    assert job.error is not None
    assert (job.state, job.error["code"], job.attempt) == ("failed", "internal", 1)
    assert job.error["message"].endswith(" threads and processes; the limit is 100")


def test_a_kill_for_memory_within_the_jobs_own_limit_is_a_setback_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count(5)
    monkeypatch.setattr("worker.attempt.count_memory_kills", lambda: next(counts))
    job_id = world.post(scripted_child.DIE)
    world.run_again(job_id)
    job = world.job(job_id)
    assert (job.state, job.attempt, job.num_setbacks, job.batch_divisor) == ("queued", 0, 1, 1)
    world.run_again(job_id)  # on the same worker: it may be the job that needs too much
    job = world.job(job_id)
    assert (job.state, job.attempt, job.num_setbacks, job.batch_divisor) == ("queued", 1, 1, 2)
    world.run_again(job_id)
    job = world.job(job_id)
    assert job.error is not None
    assert (job.state, job.error["code"], job.attempt) == ("failed", "out_of_memory", 2)


def test_another_worker_takes_a_job_whose_machine_ran_out_of_memory(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count(5)
    monkeypatch.setattr("worker.attempt.count_memory_kills", lambda: next(counts))
    job_id = world.post(scripted_child.DIE_ONCE)
    world.run_again(job_id)
    with world.sessions.begin() as session:  # its attempts begin again at 1
        session.get_one(JobRow, job_id).resolved = {"seed": scripted_child.SUCCEED}
    world.make_due(job_id)
    world.on_another_machine(tmp_path / "other").run_job(job_id)
    job = world.job(job_id)
    assert (job.state, job.attempt, job.batch_divisor) == ("succeeded", 1, 1)


def test_a_full_disk_is_retried_and_then_reported(world: World) -> None:
    job_id = world.post(scripted_child.DISK_FULL)
    for _ in range(3):  # the first failure may be the worker's, the next two are attempts
        world.run_again(job_id)
    job = world.job(job_id)
    assert job.error is not None
    assert (job.state, job.error["code"]) == ("failed", "storage_unavailable")
    assert "disk is full" in job.error["message"]


def test_time_in_earlier_attempts_counts(world: World) -> None:
    job_id = world.post(scripted_child.HANG)
    with world.sessions.begin() as session:
        row = session.get_one(JobRow, job_id)
        row.time_limit_seconds, row.seconds_run = 100.0, 99.5
    world.runner.run_job(job_id)
    job = world.job(job_id)
    assert job.error is not None
    assert job.error["code"] == "time_limit"
    assert "100 s" in job.error["message"]


def test_one_doorbell_is_enough_for_everything_that_waits(world: World) -> None:
    posted = [world.post(scripted_child.SUCCEED) for _ in range(3)]
    world.runner.run_job(posted[2])
    assert [world.job(job_id).state for job_id in posted] == ["succeeded"] * 3
    started = [world.job(job_id).started_at for job_id in posted]
    assert started == sorted(started, key=lambda at: at or 0.0), "first come, first served"


def test_remains_of_a_dead_worker_are_cleaned_up(tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "job_x" / "attempt-1-1"
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    left = subprocess.Popen(command, start_new_session=True)
    note_processes(folder, left.pid)
    assert clean_orphans(tmp_path) == 0, "its worker is this very process"
    noted = json.loads((folder / "processes.json").read_text())
    noted["worker"][1] = "1"  # the id came back, the start time did not
    (folder / "processes.json").write_text(json.dumps(noted))
    assert clean_orphans(tmp_path) == 1
    assert left.wait(10) == -signal.SIGKILL
    assert not folder.exists()


def test_progress_is_written_about_once_a_second(world: World) -> None:
    job_id = world.post(scripted_child.MANY)
    world.runner.run_job(job_id)
    assert world.job(job_id).state == "succeeded"
    assert world.events(job_id).count("progress") < 20


def test_a_missing_object_is_retried_and_then_reported(world: World) -> None:
    job_id = world.post(scripted_child.SUCCEED)
    world.store.delete(world.sha256)
    for _ in range(2):
        world.make_due(job_id)
        world.runner.run_job(job_id)
    job = world.job(job_id)
    assert job.error is not None
    assert (job.state, job.error["code"]) == ("failed", "storage_unavailable")


def test_lost_doorbells_are_rung_again(world: World) -> None:
    job_id = world.post(scripted_child.SUCCEED)
    world.rings.clear()
    world.runner.ring_again()
    assert world.rings == [(job_id, "cpu")]
