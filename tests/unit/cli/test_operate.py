"""``secateur workers``, ``queues`` and ``tenants`` on a temporary database."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli.main import app
from app.contracts.settings import Settings
from app.keys.service import create_key
from app.records import workers
from app.records.database import create_database, create_sessions
from app.records.workers import WorkerIdentity
from tests.fixtures.databases import migrate


@pytest.fixture(autouse=True)
def _database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECATEUR_DATA_DIR", str(tmp_path))
    engine = create_database(Settings(data_dir=tmp_path).database_url)
    migrate(engine)
    sessions = create_sessions(engine)
    with sessions.begin() as session:
        workers.report(session, WorkerIdentity("host:1", ("cpu",), "cpu", 1))
    create_key(sessions, "acme", "test", ["infer"])
    engine.dispose()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def as_json(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(*arguments, "--json").stdout)
    return found


def test_a_worker_is_cordoned_drained_and_let_go() -> None:
    (worker,) = as_json("workers")
    assert (worker["name"], worker["status"]) == ("host:1", "active")
    assert as_json("workers", "cordon", "host:1")[0]["status"] == "cordoned"
    assert as_json("workers", "drain", worker["id"])[0]["status"] == "draining"
    assert "draining" in run("workers").stdout
    assert as_json("workers", "uncordon", "host:1")[0]["status"] == "active"
    missing = run("workers", "drain", "host:2")
    assert missing.exit_code == 1
    assert "there is no worker 'host:2'" in missing.stderr


def test_a_queue_is_paused_and_resumed() -> None:
    assert as_json("queues", "pause", "cpu")[0]["paused_at"] is not None
    assert "paused" in run("queues").stdout
    assert as_json("queues", "resume", "cpu")[0]["paused_at"] is None
    assert "paused at" in run("queues").stdout
    assert run("queues", "pause", "maintenance").exit_code == 1


def test_tenants_are_listed() -> None:
    (tenant,) = as_json("tenants")
    assert (tenant["id"], tenant["num_keys"]) == ("acme", 1)
    assert "acme" in run("tenants").stdout
