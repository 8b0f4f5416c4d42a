"""A worker that freezes past its lease and wakes after another has done its job."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.chaos.experiment import CONFIG
from tests.chaos.processes import Process, find_job, read_process, send
from tests.chaos.promises import ARTIFACTS
from tests.faults.cluster import REAL, Cluster, running_cluster
from tests.faults.parts import wait_for
from tests.fixtures.service import images, npz_bytes, trained_model_bytes

REAL_JOB_SECONDS = 300


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str) -> Iterator[Cluster]:
    settings = {
        "DATABASE__URL": f"sqlite:///{tmp_path / 'secateur.db'}",
        "QUEUE__URL": redis_url,
        "STORAGE__URL": f"file://{tmp_path / 'objects'}",
    }
    with running_cluster(tmp_path, REAL, **settings) as found:
        found.start_api()
        found.start_intake()
        found.start_scheduler()
        found.start_worker("first", "cpu")
        yield found


def rows_of(cluster: Cluster, job_id: str) -> dict[str, list[Any]]:
    """Return all rows that a worker writes for a job."""
    queries = {
        "job": "SELECT * FROM job WHERE id = :id",
        "model": "SELECT * FROM model WHERE job_id = :id",
        "artifact": "SELECT * FROM artifact WHERE job_id = :id ORDER BY id",
        "event": "SELECT * FROM event WHERE job_id = :id ORDER BY number",
    }
    with cluster.engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(text(query), {"id": job_id})]
            for name, query in queries.items()
        }


def hashes(cluster: Cluster, job_id: str) -> dict[str, str]:
    query = text("SELECT name, sha256 FROM artifact WHERE job_id = :id")
    with cluster.engine.connect() as connection:
        rows = connection.execute(query, {"id": job_id}).all()
    found: dict[str, str] = {name: sha256 for name, sha256 in rows}  # noqa: C416  # rows to pairs
    return {name: found[name] for name in ARTIFACTS}


def test_a_frozen_worker_changes_nothing_when_it_wakes(cluster: Cluster) -> None:
    model = cluster.upload_model(trained_model_bytes())
    x, y = images()
    response = cluster.client.post(
        "/v1/datasets", content=npz_bytes(x=x, y=y), params={"filename": "d.npz"}
    )
    body = {"model": model, "dataset": response.json()["id"], "config": CONFIG}

    def post() -> str:
        return str(cluster.client.post("/v1/jobs", json=body).json()["id"])

    undisturbed, frozen = post(), post()
    cluster.wait_for_state(undisturbed, "succeeded", seconds=REAL_JOB_SECONDS)
    cluster.wait_for_step(frozen)
    job = freeze(cluster.pid("first"))
    try:
        cluster.start_worker("second", "cpu")
        cluster.wait_for_state(frozen, "succeeded", seconds=REAL_JOB_SECONDS)
        found = cluster.job(frozen)  # the lost attempt is a setback if it had stored a checkpoint
        assert found["attempt"] + found["num_setbacks"] == 2
        before = rows_of(cluster, frozen)
    finally:
        for pid in (cluster.pid("first"), job.pid):
            send(pid, signal.SIGCONT)

    def is_gone() -> bool:
        found = read_process(job.pid)
        return found is None or found.argv != job.argv

    wait_for(is_gone, 60, "the woken worker stops its process")
    cluster.stop("first")  # it ends when its task has: there is no more that it could do
    assert rows_of(cluster, frozen) == before
    cluster.check_effects_once(frozen)
    assert hashes(cluster, frozen) == hashes(cluster, undisturbed)


def freeze(worker_pid: int) -> Process:
    """SIGSTOP a worker and its job's process; return the latter."""
    job = find_job(worker_pid)
    assert job is not None
    for pid in (worker_pid, job.pid):
        send(pid, signal.SIGSTOP)

    def are_stopped() -> bool:
        found = [read_process(pid) for pid in (worker_pid, job.pid)]
        return all(process is not None and process.state == "T" for process in found)

    wait_for(are_stopped, 10, "both are stopped")
    return job
