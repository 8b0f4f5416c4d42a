"""``secateur doctor``: findings, advice, and no side effects."""

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.doctor import database, disk, run_checks, versions
from app.cli.doctor import jobs as job_checks
from app.cli.doctor.finding import Finding, Status
from app.cli.main import app
from app.contracts.job import JobKind
from app.contracts.settings import Settings
from app.records import jobs, leases, levers, workers
from app.records.database import create_database, create_sessions
from app.records.jobs import NewJob
from app.records.migrations import upgrade
from app.records.tables import JobRow, WebhookRow, WorkerRow
from app.records.workers import WorkerIdentity
from worker.reaper import Reaper


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SECATEUR_URL", "SECATEUR_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECATEUR_DATA_DIR", str(tmp_path / "data"))


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments], catch_exceptions=False)


def found(result: Result) -> dict[str, Finding]:
    return {row["name"]: Finding(**row) for row in json.loads(result.stdout)}


def test_a_working_machine_has_no_failures(tmp_path: Path) -> None:
    result = doctor("--json")
    findings = found(result)
    assert {name: f.detail for name, f in findings.items() if f.status == Status.FAIL} == {}
    assert result.exit_code == 0
    names = {
        "python",
        "packages",
        "worker",
        "settings",
        "cores",
        "torch",
        "queue",
        "database",
        "sandbox",
    }
    assert names | {"store", "disk", "service"} <= set(findings)
    assert not (tmp_path / "data").exists(), "checks create nothing"


def test_every_failure_has_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, value in {
        "WORKER__DEVICE": "cuda",
        "INFERENCE__PROVIDER": "cuda",
        "QUEUE__URL": "redis://:hidden@127.0.0.1:9/0",
        "DATABASE__URL": "postgresql://user:hidden@127.0.0.1:9/x",
        "STORAGE__URL": f"file://{tmp_path}/file/objects",
        "URL": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(f"SECATEUR_{name}", value)
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(0o600)
    findings = list(run_checks(None, None))  # once: the checks that start Python take seconds
    monkeypatch.setattr("app.cli.commands.doctor.run_checks", lambda _url, _key: findings)
    result = doctor()
    assert result.exit_code == 1
    assert "hidden" not in result.stdout
    failed = {f.name: f for f in findings if f.status is Status.FAIL}
    assert set(failed) == {"torch", "gpus", "onnxruntime", "queue", "database", "service"}
    assert all(f.advice for f in failed.values())
    for words in ("secateur serve", "SECATEUR_QUEUE__URL", "SECATEUR_DATABASE__URL", "nvidia-smi"):
        assert words in result.stdout


def test_an_unknown_setting_is_reported_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECATEUR_WORKR__DEVICE", "cpu")
    finding = found(doctor("--json"))["settings"]
    assert (finding.status, "SECATEUR_WORKR__DEVICE" in finding.detail) == (Status.FAIL, True)


def test_an_outdated_schema_is_reported(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    engine = create_database(settings.database_url)
    upgrade(engine, "0003")
    (old,) = database.check_database(settings)
    assert (old.status, "revision 0003" in old.detail) == (Status.FAIL, True)
    assert "secateur migrate" in old.advice
    upgrade(engine)
    engine.dispose()
    (new,) = database.check_database(settings)
    assert new.status is Status.OK
    sqlite3.connect(tmp_path / "secateur.db").close()


def test_low_disk_space_is_reported(tmp_path: Path) -> None:
    limits = {"dataset_bytes": 2**60}
    (finding,) = disk.check_disk(Settings(data_dir=tmp_path, limits=limits))  # type: ignore[arg-type]
    assert (finding.status, "DATASET_BYTES" in finding.advice) == (Status.NOTE, True)


def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (finding,) = disk.check_disk(Settings(data_dir=tmp_path / "file"))
    assert (finding.status, "is not writable" in finding.detail) == (Status.FAIL, True)


def test_requirements_are_evaluated_with_their_markers() -> None:
    findings = {f.name: f for f in versions.check_versions()}
    assert findings["packages"].status is Status.OK
    assert "torch" in findings["worker"].detail


def test_workers_and_leases_are_checked(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    engine = create_database(settings.database_url)
    assert list(job_checks.check_jobs(settings)) == [], "there is no database yet"
    upgrade(engine)
    (fine,) = job_checks.check_jobs(settings)
    assert (fine.name, fine.status) == ("leases", Status.OK)
    new = NewJob("t", JobKind.PRUNE, {}, {}, "cpu", max_attempts=3)
    with create_sessions(engine).begin() as session:
        workers.report(session, WorkerIdentity("host:1", ("intake",), "cpu", 1))
        workers.report(session, WorkerIdentity("host:2", ("gpu",), "cpu", 1, "its disk is full"))
        held, waiting = (jobs.create_job(session, new).id for _ in range(2))
        assert leases.claim(session, job_id=held, owner="host:3", lease_seconds=-90) is not None
        session.get_one(JobRow, waiting).queued_at = 0.0
    engine.dispose()
    findings = list(job_checks.check_jobs(settings))
    failed = [finding.detail for finding in findings if finding.status is Status.FAIL]
    assert failed[0] == "host:2 takes no jobs: its disk is full"
    assert failed[1].startswith("no worker serves the queue maintenance")
    assert failed[2] == "1 jobs wait in the queue cpu, which no worker serves"
    assert failed[3].startswith("1 jobs have leases that expired up to 90 s ago: job_")
    assert all(finding.advice for finding in findings if finding.status is Status.FAIL)


def test_the_scheduler_levers_and_webhooks_are_checked(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    engine = create_database(settings.database_url)
    upgrade(engine)
    sessions = create_sessions(engine)

    def check(name: str) -> list[Finding]:
        return [f for f in job_checks.check_jobs(settings) if f.name == name]

    with sessions.begin() as session:
        workers.report(session, WorkerIdentity("host:1", ("maintenance",), "cpu", 4))
        workers.report(session, WorkerIdentity("host:2", ("cpu",), "cpu", 1))
    assert check("scheduler") == [], "the worker has just started"
    with sessions.begin() as session:
        session.get_one(WorkerRow, "host:1").started_at -= 100
    (silent,) = check("scheduler")
    assert (silent.status, silent.advice) != (Status.OK, "")
    Reaper(sessions, settings.worker, owner="host:1").reap()
    (ticking,) = check("scheduler")
    assert ticking.status is Status.OK

    with sessions.begin() as session:
        cordoned = levers.cordon(session, "host:2").public_id
        levers.pause_queue(session, "cpu")
    (note,) = [f for f in check("workers") if f.status is Status.NOTE]
    assert note.advice == f"secateur workers uncordon {cordoned}"
    (paused,) = check("queues")
    assert (paused.status, paused.advice) == (Status.NOTE, "secateur queues resume cpu")

    assert check("webhooks") == []
    with sessions.begin() as session:
        new = NewJob("t", JobKind.PRUNE, {}, {}, "cpu", 3, webhook={"events": ["job.queued"]})
        job = jobs.create_job(session, new)
        session.flush()
        for row in session.query(WebhookRow).filter_by(job_id=job.id):
            row.not_before -= 100
    engine.dispose()
    (late,) = check("webhooks")
    assert late.status is Status.FAIL
    assert late.detail.startswith("1 deliveries are due")
