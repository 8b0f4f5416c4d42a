"""Queues and workers as a tenant sees them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.records import leases, workers
from app.records.tables import WorkerRow
from app.records.workers import PRESENT_SECONDS, WorkerIdentity
from tests.fixtures.api import Api, running_api, zip_bytes

OWNER = "a-host-that-is-nobodys-business:42"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path / "data") as found:
        yield found


def queue(
    api: Api, name: str, headers: dict[str, str] | None = None, *, num_waiting: int | None = None
) -> dict[str, Any]:
    """Return a queue; positions are refreshed once a second."""
    end = time.monotonic() + 60
    while True:
        found = read_queue(api, name, headers)
        if num_waiting is None or found["num_waiting"] == num_waiting:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)


def read_queue(api: Api, name: str, headers: dict[str, str] | None) -> dict[str, Any]:
    response = api.client.get("/v1/queues", headers=headers)
    assert response.status_code == 200, response.text
    (found,) = [each for each in response.json()["data"] if each["name"] == name]
    return dict(found)


def post_jobs(api: Api, number: int, headers: dict[str, str] | None = None) -> list[str]:
    model = api.client.post("/v1/models", content=zip_bytes(), headers=headers).json()["id"]
    api.finish_intake(api.queue.rings[-1][0], {}, None)
    posted = [
        api.client.post("/v1/jobs", json={"model": model}, headers=headers) for _ in range(number)
    ]
    return [str(response.json()["id"]) for response in posted]


def start_worker(api: Api, *queues: str) -> None:
    with api.sessions.begin() as session:
        workers.report(session, WorkerIdentity(OWNER, queues, "cpu", 2))


def test_only_queues_in_use_are_listed(api: Api) -> None:
    names = [each["name"] for each in api.client.get("/v1/queues").json()["data"]]
    assert names == ["cpu", "intake"]
    start_worker(api, "gpu", "maintenance")
    names = [each["name"] for each in api.client.get("/v1/queues").json()["data"]]
    assert names == ["cpu", "gpu", "intake"]


def test_jobs_have_places_and_workers(api: Api) -> None:
    start_worker(api, "cpu")
    first, second, third = post_jobs(api, 3)
    with api.sessions.begin() as session:
        held = leases.claim(session, job_id=first, owner=OWNER, lease_seconds=30)
    assert held is not None
    found = queue(api, "cpu", num_waiting=2)
    assert found["num_running"] == 1
    (worker,) = found["workers"]
    assert (worker["device"], worker["num_slots"], worker["num_running"]) == ("cpu", 2, 1)
    assert [(job["id"], job["status"], job["position"]) for job in found["jobs"]] == [
        (first, "running", None),
        (second, "queued", 0),
        (third, "queued", 1),
    ]
    assert [job["worker"] for job in found["jobs"]] == [worker["id"], None, None]


def test_the_host_of_a_worker_is_not_shown(api: Api) -> None:
    start_worker(api, "cpu")
    response = api.client.get("/v1/queues")
    assert "wrk_" in response.text
    assert "a-host" not in response.text


def test_a_silent_worker_is_not_listed(api: Api) -> None:
    start_worker(api, "cpu")
    with api.sessions.begin() as session:
        session.get_one(WorkerRow, OWNER).seen_at -= PRESENT_SECONDS + 1
    assert queue(api, "cpu")["workers"] == []


def test_counts_are_of_all_and_jobs_of_the_tenant_alone(api: Api) -> None:
    other = api.other_tenant()
    own, others = post_jobs(api, 1), post_jobs(api, 2, other)
    for headers, jobs in ((None, own), (other, others)):
        found = queue(api, "cpu", headers, num_waiting=3)
        assert [job["id"] for job in found["jobs"]] == jobs
