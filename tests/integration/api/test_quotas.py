"""Quotas over HTTP: refusals, their messages, and that a refused request leaves nothing."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.keys.service import list_keys, revoke_key
from app.records.database import current_time
from app.records.tables import ComputeUseRow
from app.records.usage import SECONDS_A_DAY
from tests.fixtures.api import Api, running_api, zip_bytes

SIZE = len(zip_bytes())


def refused(response: Any, status: int, code: str, *words: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    for word in words:
        assert word in response.json()["detail"]
    assert ("retry-after" in response.headers) == (status == 429)


def used(api: Api, name: str) -> float:
    return float(api.client.get("/v1/quotas").json()["quotas"][name]["used"])


def wait_until(is_true: Callable[[], bool]) -> None:
    while not is_true():
        time.sleep(0.01)


def test_stored_bytes_are_refused_before_anything_is_stored(tmp_path: Path) -> None:
    with running_api(tmp_path / "data", quotas={"stored_bytes": 2 * SIZE}) as api:
        key = {"Idempotency-Key": "first"}
        first = api.client.post("/v1/models", content=zip_bytes(), headers=key)
        assert first.status_code == 201
        num_rings, large = len(api.queue.rings), zip_bytes(b"x.npy") + bytes(SIZE)
        refused(api.client.post("/v1/datasets", content=large), 403, "storage_quota", f"{2 * SIZE}")
        files = {"model": ("net.pt2", zip_bytes()), "dataset": ("d.npz", zip_bytes(b"x.npy"))}
        refused(api.client.post("/v1/jobs", files=files), 403, "storage_quota")
        assert len(list(api.store.list())) == 1
        assert len(api.queue.rings) == num_rings
        other = api.other_tenant()
        assert api.client.post("/v1/models", content=zip_bytes(), headers=other).is_success
        assert api.client.post("/v1/models", content=zip_bytes()).status_code == 201  # just fits
        job = {"model": first.json()["id"]}
        refused(api.client.post("/v1/jobs", json=job), 403, "storage_quota")
        again = api.client.post("/v1/models", content=zip_bytes(), headers=key)
        assert again.json() == first.json()  # what was answered before is answered again


def test_waiting_jobs_are_limited_for_every_way_to_post_them(tmp_path: Path) -> None:
    with running_api(tmp_path / "data", quotas={"queued_jobs": 2}) as api:
        model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
        grid = {"model": model, "grid": {"/seed": [0, 1]}}
        refused(api.client.post("/v1/sweeps", json=grid), 429, "too_many_jobs", "2 more")
        assert api.client.get("/v1/sweeps").json()["data"] == []
        assert api.client.post("/v1/jobs", json={"model": model}).status_code == 202
        for path in ("/v1/jobs", "/v1/jobs:plan"):
            refused(api.client.post(path, json={"model": model}), 429, "too_many_jobs", "2 jobs")
        refused(api.client.post("/v1/models", content=zip_bytes()), 429, "too_many_jobs")
        assert used(api, "queued_jobs") == 2
        api.finish_intake(api.queue.rings[0][0], {}, None)
        assert api.client.post("/v1/jobs", json={"model": model}).status_code == 202


def test_compute_time_of_the_day_is_limited(tmp_path: Path) -> None:
    with running_api(tmp_path / "data", quotas={"compute_seconds": 60}) as api:
        model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
        with api.sessions.begin() as session:
            day = int(current_time(session) // SECONDS_A_DAY)
            session.add(ComputeUseRow(day=day, tenant="default", seconds=61.0))
        for path in ("/v1/jobs", "/v1/jobs:plan"):
            response = api.client.post(path, json={"model": model})
            refused(response, 403, "compute_quota", "61 of 60", "T00:00:00Z")
        quota = api.client.get("/v1/quotas").json()["quotas"]["compute_seconds"]
        assert (quota["limit"], quota["used"]) == (60, 61)
        assert quota["frees_at"].endswith("T00:00:00Z")


def test_the_request_rate_is_limited(tmp_path: Path) -> None:
    # For none of them to be late, twenty requests would have to take twenty seconds.
    with running_api(tmp_path / "data", quotas={"requests_per_second": 1}) as api:
        answers = [api.client.get("/v1/models") for _ in range(20)]
        assert answers[0].status_code == 200
        late = [answer for answer in answers if answer.status_code != 200]
        assert late
        refused(late[0], 429, "rate_limited", "limit of 1 requests per second")
        assert late[0].headers["retry-after"] == "1"
        assert api.client.get("/healthz").status_code == 200
        assert api.client.get("/v1/models", headers=api.other_tenant()).status_code == 200


def test_places_of_uploads_and_streams_are_held_and_given_back(tmp_path: Path) -> None:
    with running_api(tmp_path / "data", quotas={"uploads": 1, "event_streams": 1}) as api:
        quotas, client = api.context.quotas, api.client
        files = {"model": ("net.pt2", zip_bytes())}
        with quotas.upload("default"):
            refused(client.post("/v1/models", content=zip_bytes()), 429, "too_many_uploads", "1 ")
            refused(client.post("/v1/jobs", files=files), 429, "too_many_uploads")
            other = api.other_tenant()
            assert client.post("/v1/models", content=zip_bytes(), headers=other).is_success
        first, second = (client.post("/v1/jobs", files=files) for _ in range(2))
        assert (first.status_code, second.status_code) == (202, 202)
        url, headers = f"/v1/jobs/{first.json()['id']}", {"Accept": "text/event-stream"}
        with quotas.stream("default"):
            refused(client.get(f"{url}/events", headers=headers), 429, "too_many_streams", "1 ")
            assert client.get(f"{url}/events").status_code == 200  # JSON is no stream
        client.post(f"{url}/cancel")
        for _ in range(2):
            assert client.get(f"{url}/events", headers=headers).status_code == 200
        assert client.post("/v1/models", content=b"").status_code == 422
        assert (used(api, "uploads"), used(api, "event_streams")) == (0, 0)


def test_a_stream_ends_with_the_key_that_opened_it(tmp_path: Path) -> None:
    with running_api(tmp_path / "data") as api:
        files = {"model": ("net.pt2", zip_bytes())}
        job = api.client.post("/v1/jobs", files=files).json()["id"]
        answers = []

        def follow() -> None:
            headers = {"Accept": "text/event-stream"}
            answers.append(api.client.get(f"/v1/jobs/{job}/events", headers=headers))

        thread = threading.Thread(target=follow)
        thread.start()
        quotas = api.context.quotas
        wait_until(lambda: quotas.read("default")["event_streams"].used == 1)
        revoke_key(api.sessions, list_keys(api.sessions, "default")[0].id)
        thread.join()  # the job goes on for ever
        assert answers[0].status_code == 200
        assert quotas.read("default")["event_streams"].used == 0
