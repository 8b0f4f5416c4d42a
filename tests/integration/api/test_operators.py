"""Operators see and move workers, queues and tenants; a tenant tries its failed job again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.contracts.job import FailureCode
from app.keys.service import create_key
from app.records import leases, workers
from app.records.workers import WorkerIdentity
from tests.fixtures.api import Api, running_api, zip_bytes

NAME = "host:42"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path / "data") as found:
        with found.sessions.begin() as session:
            workers.report(session, WorkerIdentity(NAME, ("intake",), "cpu", 3, "disk full"))
        yield found


def operator(api: Api) -> dict[str, str]:
    _, key = create_key(api.sessions, "ops", "operator", ["operator"])
    return {"Authorization": f"Bearer {key}"}


def test_a_worker_is_listed_cordoned_drained_and_let_go(api: Api) -> None:
    headers = operator(api)
    (listed,) = api.client.get("/v1/workers", headers=headers).json()["data"]
    assert (listed["name"], listed["status"], listed["trouble"]) == (NAME, "resting", "disk full")
    for lever, name, status in (
        ("cordon", NAME, "cordoned"),
        ("drain", listed["id"], "draining"),
        ("uncordon", NAME, "resting"),
    ):
        response = api.client.post(f"/v1/workers/{name}/{lever}", headers=headers)
        assert response.status_code == 200, response.text
        assert response.json()["status"] == status
        (queue,) = [q for q in api.client.get("/v1/queues").json()["data"] if q["workers"]]
        assert queue["workers"][0]["is_cordoned"] == (status != "resting")
    gone = api.client.post("/v1/workers/host:43/drain", headers=headers)
    assert gone.status_code == 404
    assert "host:43" in gone.json()["detail"]


def test_a_queue_is_paused_and_resumed_and_tenants_see_it(api: Api) -> None:
    headers = operator(api)

    def is_paused() -> bool:
        queues = api.client.get("/v1/queues").json()["data"]
        return bool(next(q["is_paused"] for q in queues if q["name"] == "intake"))

    assert not is_paused()
    paused = api.client.post("/v1/queues/intake/pause", headers=headers).json()
    assert (paused["name"], paused["paused_at"] is None) == ("intake", False)
    assert is_paused()
    resumed = api.client.post("/v1/queues/intake/resume", headers=headers).json()
    assert resumed["paused_at"] is None
    assert not is_paused()
    assert api.client.post("/v1/queues/maintenance/pause", headers=headers).status_code == 404


def test_tenants_are_listed_with_what_they_use_in_pages(api: Api) -> None:
    headers = operator(api)
    api.client.post("/v1/models", content=zip_bytes())
    first = api.client.get("/v1/tenants?limit=1", headers=headers).json()
    (own,) = first["data"]
    assert (own["id"], own["num_waiting"], own["num_running"]) == ("default", 1, 0)
    assert own["stored_bytes"] == len(zip_bytes())
    assert own["num_keys"] >= 1
    assert first["has_more"]
    rest = api.client.get(f"/v1/tenants?after={first['next_after']}", headers=headers).json()
    assert [tenant["id"] for tenant in rest["data"]] == ["ops"]
    assert not rest["has_more"]


def test_a_failed_job_is_tried_again_by_its_tenant(api: Api) -> None:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    api.finish_intake(api.queue.rings[-1][0], {}, None)
    job = api.client.post("/v1/jobs", json={"model": model}).json()
    assert api.client.post(job["urls"]["retry"]).status_code == 409
    with api.sessions.begin() as session:
        held = leases.claim(session, job_id=job["id"], owner=NAME, lease_seconds=30)
        assert held is not None
        leases.fail(session, held, FailureCode.INTERNAL, "broken", None)
    response = api.client.post(job["urls"]["retry"])
    assert response.status_code == 200, response.text
    again = response.json()
    assert (again["status"], again["error"], again["finished_at"]) == ("queued", None, None)
    assert api.queue.rings[-1][0] == job["id"]
