"""A worker's metrics, of real jobs and over HTTP."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from app.contracts.job import JobKind
from app.contracts.settings import Settings, WorkerSettings
from app.records.tables import JobRow
from tests.integration.worker import scripted_child
from tests.integration.worker.world import World
from worker.fork_server.client import ForkServer
from worker.metrics import WorkerMetrics
from worker.metrics_port import serve_metrics
from worker.reaper import Reaper

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with closing(ForkServer(scripted_child.__name__, ENVIRONMENT)) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, server: ForkServer) -> World:
    return World(tmp_path, server)


def value(world: World, name: str, **labels: str) -> float | None:
    return world.runner.metrics.registry.get_sample_value(f"secateur_{name}", labels)


def test_outcomes_failures_stages_and_uploads_are_measured_by_kind(world: World) -> None:
    world.runner.run_job(world.post(scripted_child.SUCCEED))
    world.runner.run_job(world.post(scripted_child.SUCCEED, kind=JobKind.INTAKE_MODEL))
    world.runner.run_job(world.post(scripted_child.FAIL))
    died = world.post(scripted_child.DIE)  # two attempts
    world.runner.run_job(died)
    world.run_again(died)
    found = {
        outcome: value(world, "attempts_total", kind="prune", outcome=outcome)
        for outcome in ("succeeded", "failed", "queued")
    }
    assert found == {"succeeded": 1, "failed": 2, "queued": 1}
    assert value(world, "attempts_total", kind="intake_model", outcome="succeeded") == 1
    assert value(world, "attempt_failures_total", kind="prune", code="data_error") == 1
    assert value(world, "attempt_failures_total", kind="prune", code="internal") == 2
    assert value(world, "attempt_seconds_count", kind="prune") == 4
    assert value(world, "stage_seconds_count", kind="prune", stage="saliency") == 4
    assert value(world, "upload_seconds_count") == 2
    assert value(world, "worker_running_jobs") == 0


def test_checkpoints_running_jobs_and_lost_leases_are_measured(world: World) -> None:
    job_id = world.post(scripted_child.SAVE)
    thread = world.run_in_thread(job_id)
    assert value(world, "worker_running_jobs") == 1
    while not value(world, "checkpoint_seconds_count"):
        thread.join(0.02)
    with world.sessions.begin() as session:
        job = session.get_one(JobRow, job_id)
        job.lease_token += 1  # another worker claimed it
    thread.join()
    assert value(world, "lease_losses_total") == 1
    assert value(world, "attempts_total", kind="prune", outcome="lost") == 1


def test_trouble_and_free_scratch_are_read_when_somebody_looks(world: World) -> None:
    assert value(world, "worker_resting") == 0
    free, size = value(world, "scratch_free_bytes"), value(world, "scratch_bytes")
    assert free is not None
    assert size is not None
    assert 0 < free < size
    world.runner.fitness.note_outage("the store is away")
    assert value(world, "worker_resting") == 1


def test_revoked_leases_are_counted(world: World) -> None:
    job_id = world.post(scripted_child.HANG)
    with world.sessions.begin() as session:
        job = session.get_one(JobRow, job_id)
        job.state, job.lease_expires_at, job.lease_owner = "running", 1.0, "gone:1"
    metrics = WorkerMetrics()
    reaper = Reaper(world.sessions, WorkerSettings(), metrics)
    reaper._grace_seconds = 0  # of workers after an outage
    reaper.reap()
    assert metrics.registry.get_sample_value("secateur_reaped_leases_total") == 1


def test_metrics_are_served_on_their_own_port_and_a_taken_port_ends_the_worker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings = WorkerSettings(metrics_port=port)
        with pytest.raises(SystemExit, match=f"cannot serve metrics on 127.0.0.1:{port}"):
            serve_metrics(WorkerMetrics(), settings)
    serve_metrics(WorkerMetrics(), settings)
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert "secateur_worker_running_jobs 0.0" in text


def test_no_port_is_opened_by_default() -> None:
    assert Settings().worker.metrics_port is None
    assert Settings().worker.metrics_host == "127.0.0.1"
