"""Failures of the infrastructure cost no attempt, and a sick worker leaves jobs to others."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.contracts.job import JobState
from app.records import jobs, workers
from app.records.tables import JobRow
from app.records.workers import WorkerIdentity
from tests.integration.worker import scripted_child
from tests.integration.worker.world import World, wait_for
from worker.fork_server.client import ForkServer

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with closing(ForkServer(scripted_child.__name__, ENVIRONMENT)) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, server: ForkServer) -> World:
    return World(tmp_path, server)


@contextmanager
def replaced_by_a_file(folder: Path) -> Iterator[None]:
    """Let nothing be read or written below ``folder``; root may write to any folder."""
    aside = folder.with_name(f"{folder.name}-aside")
    folder.rename(aside)
    folder.touch()
    yield
    folder.unlink()
    aside.rename(folder)


def objects_of(world: World) -> Path:
    return Path(world.settings.storage_url.removeprefix("file://"))


def identify(world: World, name: str, trouble: str | None = None) -> None:
    with world.sessions.begin() as session:
        workers.report(session, WorkerIdentity(name, ("cpu",), "cpu", 1, trouble))


def test_a_finished_job_waits_for_the_store_and_runs_once(world: World) -> None:
    job_id = world.post(scripted_child.LATE)
    thread = world.run_in_thread(job_id)
    with capture_logs() as lines, replaced_by_a_file(objects_of(world)):
        wait_for(lambda: sum(x["event"] == "store.away" for x in lines) >= 2)
        before = world.job(job_id)
        assert before.state == JobState.RUNNING
        wait_for(lambda: (world.job(job_id).lease_expires_at or 0) > (before.lease_expires_at or 0))
    thread.join(30)
    job = world.job(job_id)
    assert (job.state, job.attempt, job.num_setbacks) == ("succeeded", 1, 0)
    assert world.events(job_id).count("job.running") == 1
    assert job.finished_at is not None
    assert job.started_at is not None
    assert job.seconds_run < job.finished_at - job.started_at - 1, "the wait is no running time"


@pytest.mark.parametrize(("request_of", "state"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_finished_job_that_waits_can_be_stopped(
    world: World, request_of: str, state: str
) -> None:
    job_id = world.post(scripted_child.LATE)
    thread = world.run_in_thread(job_id)
    with replaced_by_a_file(objects_of(world)):
        wait_for(lambda: world.runner.fitness.trouble is not None)
        with world.sessions.begin() as session:
            getattr(jobs, f"request_{request_of}")(session, job_id)
        thread.join(10)
    job = world.job(job_id)
    assert (job.state, job.attempt) == (state, 0 if state == "paused" else 1)


def test_an_outage_beyond_the_limit_returns_the_job_without_an_attempt(
    tmp_path: Path, server: ForkServer
) -> None:
    world = World(tmp_path, server, outage_seconds=0.5)
    job_id = world.post(scripted_child.LATE)
    thread = world.run_in_thread(job_id)
    with replaced_by_a_file(objects_of(world)):
        thread.join(20)
        job = world.job(job_id)
        assert (job.state, job.attempt, job.num_setbacks) == ("queued", 0, 1)
        world.run_again(job_id)
        assert world.job(job_id).num_setbacks == 1, "it claims nothing while the store is away"
    world.run_again(job_id)
    assert (world.job(job_id).state, world.job(job_id).attempt) == ("succeeded", 1)


def test_a_worker_with_an_unusable_scratch_folder_claims_nothing(world: World) -> None:
    job_id = world.post(scripted_child.SUCCEED)
    world.settings.scratch_dir.mkdir(exist_ok=True)
    with replaced_by_a_file(world.settings.scratch_dir):
        world.runner.run_job(job_id)
        assert "disk" in (world.runner.fitness.trouble or "")
    assert (world.job(job_id).state, world.job(job_id).lease_token) == ("queued", 0)
    world.runner.run_job(job_id)
    assert world.job(job_id).state == "queued", "it rests"
    world.run_again(job_id)
    assert world.job(job_id).state == "succeeded"


def test_a_job_is_not_retried_by_the_worker_that_failed_it(world: World, tmp_path: Path) -> None:
    job_id = world.post(scripted_child.DISK_FULL)
    for name in (world.runner.owner, "other:1"):
        identify(world, name)
    world.runner.run_job(job_id)
    for _ in range(2):
        world.run_again(job_id)
    job = world.job(job_id)
    assert (job.state, job.attempt, job.num_setbacks) == ("queued", 0, 1)
    with world.sessions.begin() as session:  # what is wrong with the worker, not with the job
        session.get_one(JobRow, job_id).resolved = {"seed": scripted_child.SUCCEED}
    world.on_another_machine(tmp_path / "other").run_job(job_id)
    assert (world.job(job_id).state, world.job(job_id).attempt) == ("succeeded", 1)


@pytest.mark.parametrize("trouble", [None, "its disk is full"], ids=["gone", "sick"])
def test_the_same_worker_retries_a_job_that_no_other_can_take(
    world: World, trouble: str | None
) -> None:
    job_id = world.post(scripted_child.DISK_FULL)
    identify(world, world.runner.owner)
    if trouble is not None:
        identify(world, "other:1", trouble)
    for _ in range(3):
        world.run_again(job_id)
    job = world.job(job_id)
    assert (job.state, job.attempt) == ("failed", 2), "the job may be at fault: attempts count"


def test_a_worker_tries_its_fork_server_before_it_claims_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**ENVIRONMENT, "LC_ALL": "missing"}
    broken = "tests.integration.worker.broken_child"
    with closing(ForkServer(broken, environment)) as server:
        world = World(tmp_path, server)
        job_id = world.post(scripted_child.SUCCEED)
        world.runner.run_job(job_id)
        monkeypatch.setattr(server, "is_resting", lambda: False)  # minutes have passed
        world.run_again(job_id)
        job = world.job(job_id)
        assert (job.attempt, job.num_setbacks, job.lease_token) == (0, 1, 1)
        assert "onnx_that_is_not_there" in (world.runner.fitness.trouble or "")


def test_a_failing_job_of_one_tenant_does_not_stop_a_fit_worker_for_long(world: World) -> None:
    for _ in range(3):
        job_id = world.post(scripted_child.DISK_FULL)
        world.run_again(job_id)
        with world.sessions.begin() as session:
            jobs.request_cancel(session, job_id)
    world.now += 5  # one rest, not three doublings
    job_id = world.post(scripted_child.SUCCEED)
    world.runner.run_job(job_id)
    assert world.job(job_id).state == "succeeded"
