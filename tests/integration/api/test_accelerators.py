"""Jobs ask for a GPU or a CPU: they are routed by what workers report, or refused at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.keys.service import create_key
from app.records import workers
from app.records.tables import JobRow
from app.records.workers import Gpu, WorkerIdentity
from tests.fixtures.api import Api, running_api
from tests.integration.api.test_queues import post_jobs

GPU = Gpu("GPU-1", "NVIDIA H200", 150 * 10**9)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path / "data") as found:
        yield found


def report(api: Api, queue: str, *gpus: Gpu) -> None:
    with api.sessions.begin() as session:
        worker = WorkerIdentity(f"{queue}:1", (queue,), "cuda" if gpus else "cpu", 1, gpus=gpus)
        workers.report(session, worker)


def post(api: Api, model: str, accelerator: str) -> Any:
    config = {"resources": {"accelerator": accelerator}}
    return api.client.post("/v1/jobs", json={"model": model, "config": config})


def queue_of(api: Api, job_id: str) -> str:
    with api.sessions() as session:
        return session.get_one(JobRow, job_id).queue


def test_a_job_that_needs_a_gpu_is_refused_until_a_worker_reports_one(api: Api) -> None:
    (first,) = post_jobs(api, 1)
    model = api.client.get(f"/v1/jobs/{first}").json()["model"]
    refused = post(api, model, "gpu")
    assert (refused.status_code, refused.json()["code"]) == (409, "no_worker")
    assert "SECATEUR_WORKER__DEVICE=cuda" in refused.json()["detail"]
    assert len(api.client.get("/v1/jobs").json()["data"]) == 1, "nothing was stored"

    report(api, "gpu", GPU)
    accepted = post(api, model, "gpu")
    assert accepted.status_code == 202, accepted.text
    assert queue_of(api, accepted.json()["id"]) == "gpu"
    assert queue_of(api, post(api, model, "cpu").json()["id"]) == "cpu"

    (queue,) = [q for q in api.client.get("/v1/queues").json()["data"] if q["name"] == "gpu"]
    (worker,) = queue["workers"]
    assert worker["gpus"] == [{"name": GPU.name, "memory_bytes": GPU.memory_bytes}]
    _, key = create_key(api.sessions, "ops", "operator", ["operator"])
    headers = {"Authorization": f"Bearer {key}"}
    (listed,) = api.client.get("/v1/workers", headers=headers).json()["data"]
    assert listed["gpus"] == [GPU._asdict()]
