"""Two API processes with one database and one object folder, as behind a load balancer."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from app.contracts.settings import DatabaseSettings, Settings
from app.keys.service import create_key, revoke_key
from app.objects.storage import ObjectStore, open_store
from app.records import leases
from app.records.database import Sessions, create_database, create_sessions
from app.records.tables import JobRow
from tests.fixtures.api import finish_intake, zip_bytes
from tests.fixtures.databases import migrate
from tests.fixtures.services import fresh_postgresql_url
from tests.fixtures.serving import scaled

DEADLINE_SECONDS = 60


@dataclass
class Replicas:
    """Both processes and their shared database and store; the test acts as the worker."""

    clients: tuple[httpx.Client, httpx.Client]
    sessions: Sessions
    store: ObjectStore
    folder: Path

    def add_version(self, client: httpx.Client, name: str, factor: float) -> str:
        """Upload a multiplying network through one process; return its id when it is ready."""
        uploaded = client.post("/v1/models", params={"name": name}, content=zip_bytes())
        assert uploaded.status_code == 201, uploaded.text
        model_id = str(uploaded.json()["id"])
        path = self.folder / f"{model_id}.onnx"
        path.write_bytes(scaled(factor).SerializeToString())
        with self.sessions() as session:
            query = select(JobRow.id).where(JobRow.model_id == model_id)
            job_id = session.scalars(query).one()
        finish_intake(self.sessions, self.store, job_id, {"macs": 1}, path)
        return model_id


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def replicas(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_url: str
) -> Iterator[Replicas]:
    folder = tmp_path_factory.mktemp("replicas")
    url = f"sqlite:///{folder / 'shared.db'}"
    if request.param == "postgresql":
        url = fresh_postgresql_url(request.getfixturevalue("postgresql_server"))
    settings = Settings(data_dir=folder, database=DatabaseSettings(url=url))
    engine = create_database(settings.database_url)
    migrate(engine)
    sessions = create_sessions(engine)
    _row, key = create_key(sessions, "default", "test", ["admin"])
    environment = {
        **os.environ,
        "SECATEUR_DATA_DIR": str(folder),
        "SECATEUR_DATABASE__URL": url,
        "SECATEUR_QUEUE__URL": redis_url,
    }
    with ExitStack() as stack:
        ports = [stack.enter_context(process(folder / f"{n}.log", environment)) for n in (1, 2)]
        headers = {"Authorization": f"Bearer {key}"}
        first, second = (
            stack.enter_context(
                httpx.Client(
                    base_url=f"http://127.0.0.1:{port}",
                    headers=headers,
                    timeout=60,
                    trust_env=False,
                )
            )
            for port in ports
        )
        for client in (first, second):
            until(lambda client=client: is_answering(client))  # type: ignore[misc]  # bound
        store = open_store(settings.storage_url, settings.storage)
        yield Replicas((first, second), sessions, store, folder)
    engine.dispose()


@contextmanager
def process(log: Path, environment: dict[str, str]) -> Iterator[int]:
    """Run one API process; yield its port."""
    with socket.socket() as listener, log.open("wb") as file:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        number = listener.fileno()
        command = [sys.executable, "-m", "app.server", "--fd", str(number)]
        running = subprocess.Popen(
            command, env=environment, stdout=file, stderr=file, pass_fds=(number,)
        )
        try:
            yield listener.getsockname()[1]
        finally:
            running.terminate()
            running.wait(60)


def is_answering(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def until(is_so: Callable[[], bool]) -> None:
    """Poll until a condition holds, without a tight time limit."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def served(client: httpx.Client, model: str) -> tuple[str, float]:
    """Return the version that answers for a name, and its factor."""
    response = client.post("/infer", json={"model": model, "inputs": [[1.0, 1.0]]})
    assert response.status_code == 200, response.text
    return response.json()["version"], response.json()["outputs"][0][0]


def test_replicas_serve_models_uploaded_to_either(replicas: Replicas) -> None:
    first, second = replicas.clients
    for giver, factor in ((first, 2.0), (second, 3.0)):
        model_id = replicas.add_version(giver, "given", factor)
        assert [served(client, model_id)[1] for client in replicas.clients] == [factor] * 2
    assert [served(client, "given@2") for client in replicas.clients] == [("2", 3.0)] * 2


def test_an_alias_switched_on_one_replica_is_switched_on_the_other(replicas: Replicas) -> None:
    first, second = replicas.clients
    for factor in (1.0, 2.0):
        replicas.add_version(first, "switched", factor)
    url, name = "/v1/models/switched/aliases/production", "switched@production"
    assert first.put(url, json={"targets": [{"version": "1"}]}).status_code == 201
    assert [served(client, name) for client in replicas.clients] == [("1", 1.0)] * 2

    body, any_of_it = {"targets": [{"version": "2"}]}, {"If-Match": "*"}
    assert first.put(url, json=body, headers=any_of_it).status_code == 200
    assert served(first, name) == ("2", 2.0)
    until(lambda: served(second, name) == ("2", 2.0))

    stale = {"If-Match": second.get(url).headers["etag"]}
    assert second.post(f"{url}/rollback", headers=stale).status_code == 200
    assert served(second, name) == ("1", 1.0)
    until(lambda: served(first, name) == ("1", 1.0))
    assert first.post(f"{url}/rollback", headers=stale).status_code == 412
    assert {served(client, name) for client in replicas.clients for _ in range(10)} == {("1", 1.0)}


def test_a_key_that_is_revoked_is_refused_by_both(replicas: Replicas) -> None:
    row, key = create_key(replicas.sessions, "default", "leaving", ["models:read"])
    headers = {"Authorization": f"Bearer {key}"}

    def statuses() -> list[int]:
        return [c.get("/v1/models", headers=headers).status_code for c in replicas.clients]

    assert statuses() == [200, 200]
    revoke_key(replicas.sessions, row.id)
    until(lambda: statuses() == [401, 401])
    assert all(client.get("/v1/models").status_code == 200 for client in replicas.clients)


def test_events_are_streamed_by_one_while_a_worker_and_the_other_write_them(
    replicas: Replicas,
) -> None:
    first, second = replicas.clients
    model_id = replicas.add_version(first, "streamed", 1.0)
    job_id = first.post("/v1/jobs", json={"model": model_id}).json()["id"]
    url, accept = f"/v1/jobs/{job_id}", {"Accept": "text/event-stream"}
    seen, held = [], None
    with second.stream("GET", f"{url}/events", headers=accept) as stream:
        assert stream.status_code == 200
        for line in stream.iter_lines():
            if not line.startswith("event: "):
                continue
            seen.append(line.removeprefix("event: "))
            # Each step follows what the stream has told, so nothing was there from the start.
            with replicas.sessions.begin() as session:
                if seen == ["job.queued"]:
                    held = leases.claim(session, job_id=job_id, owner="test", lease_seconds=600)
                elif seen[-1] == "job.running":
                    assert first.post(f"{url}/cancel").json()["status"] == "cancelling"
                elif seen[-1] == "job.cancelling":
                    assert held is not None
                    assert leases.mark_cancelled(session, held)
    assert seen == ["job.queued", "job.running", "job.cancelling", "job.cancelled"]
    assert [client.get(url).json()["status"] for client in replicas.clients] == ["cancelled"] * 2
