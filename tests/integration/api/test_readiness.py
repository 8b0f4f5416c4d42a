"""``/readyz`` of a real server: Redis and the store may blink, and a stopping process says so."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from app.contracts.settings import HttpSettings
from app.inference.supervisor import Supervisor
from app.records.migrations import newest_revision
from tests.fixtures.api import Api, running_api, zip_bytes
from tests.fixtures.serving import Serving, scaled, serving


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path / "data", http=HttpSettings(leave_seconds=0.5)) as found:
        yield found


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path / "data", supervisor=Supervisor) as found:
        yield found


def test_models_are_served_and_the_process_stays_ready_without_redis_and_the_store(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "scaled.onnx"
    path.write_bytes(scaled(3).SerializeToString())
    model = api.ready_model(path)
    body = {"model": model, "inputs": [[1.0, 2.0]]}
    assert api.client.post("/infer", json=body).status_code == 200
    assert api.client.get("/readyz").json()["status"] == "ok"

    def fail() -> None:
        raise ConnectionError("refused")

    readiness = api.client.app.state.readiness  # type: ignore[attr-defined]
    for part in readiness._dispensable.values():
        monkeypatch.setattr(part, "_check", fail)
    time.sleep(1.1)  # a good answer is remembered for a second
    response = api.client.get("/readyz")
    assert response.status_code == 200
    found = response.json()
    assert (found["status"], found["queue"], found["storage"]) == ("degraded", "away", "away")
    assert api.client.get("/v2/health/ready").status_code == 200
    assert api.client.post("/infer", json=body).status_code == 200


def test_an_old_schema_is_not_ready_and_a_newer_one_is(api: Api) -> None:
    def move_to(revision: str) -> None:
        with api.sessions.begin() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})

    move_to("0013")
    response = api.client.get("/readyz")
    assert response.status_code == 503
    assert f"revision {newest_revision()}: run secateur migrate" in response.json()["detail"]
    move_to("9999")  # of a later version, which is being rolled out
    assert api.client.get("/readyz").status_code == 200


def test_a_stopping_process_says_so_before_it_closes_its_port(served: Serving) -> None:
    with httpx.Client(base_url=f"http://{served.address}", trust_env=False) as client:
        assert client.get("/readyz").status_code == 200
        served.server.should_exit = True
        end = time.monotonic() + 30
        while (response := client.get("/readyz")).status_code == 200:
            assert time.monotonic() < end
        assert (response.status_code, response.json()["code"]) == (503, "leaving")
        assert client.get("/healthz").status_code == 200, "it still answers requests"


def test_the_line_of_a_request_names_the_job_that_it_created(api: Api) -> None:
    with capture_logs() as lines:
        api.client.post("/v1/models", content=zip_bytes())
        for path in ("/healthz", "/readyz", "/metrics"):
            api.client.get(path)
    done = [line for line in lines if line["event"] == "request.done"]
    assert done[0]["job_id"] == api.queue.rings[-1][0]
    assert {line["path"] for line in done if line["log_level"] == "info"} == {"/v1/models"}
