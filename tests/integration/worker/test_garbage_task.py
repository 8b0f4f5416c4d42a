"""Garbage collection as the scheduler and the operator start it, and of scratch folders."""

import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.main import app as command_line
from app.cli.serve import _listen
from app.contracts.job import JobKind, JobState
from app.contracts.settings import Settings
from app.objects.garbage import clean_uploads
from app.objects.lock import create_object_lock
from app.objects.storage import ObjectStore, open_store
from app.records import jobs
from app.records.database import Sessions, create_database, create_sessions
from app.records.jobs import NewJob
from app.records.tables import JobRow
from tests.fixtures.databases import migrate
from worker.garbage import GarbageTask

LONG_AGO = 1_000_000.0


class World:
    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder)
        engine = create_database(self.settings.database_url)
        migrate(engine)
        self.sessions: Sessions = create_sessions(engine)
        self.store: ObjectStore = open_store(self.settings.storage_url, self.settings.storage)
        lock = create_object_lock(engine)
        self.task = GarbageTask(self.settings, self.sessions, self.store, lock)

    def put_old(self, content: str) -> str:
        path = self.settings.data_dir / "upload"
        path.write_text(content)
        sha256 = self.store.put_file(path)
        age(self.settings.data_dir / "objects" / "sha256" / sha256[:2] / sha256)
        return sha256

    def add_job(self, state: JobState) -> str:
        with self.sessions.begin() as session:
            job = jobs.create_job(session, NewJob("t", JobKind.PRUNE, {}, {}, "cpu", 3))
            job.state = state
        return job.id


def age(path: Path) -> None:
    os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_task_collects_objects(world: World) -> None:
    sha256 = world.put_old("orphan")
    world.task.collect()
    assert not world.store.has(sha256)


def test_the_task_goes_on_without_the_store(world: World) -> None:
    world.put_old("orphan")
    objects = world.settings.data_dir / "objects"
    objects.rename(objects.with_name("elsewhere"))
    objects.write_text("not a folder")
    world.task.collect()  # logged, and tried again in an hour


def test_the_task_removes_the_scratch_of_ended_jobs(world: World) -> None:
    scratch = world.settings.scratch_dir
    (scratch / "uploads").mkdir(parents=True)
    old, young = scratch / "uploads" / "a.partial", scratch / "uploads" / "b.partial"
    for path in (old, young):
        path.write_text("half")
    age(old)
    folders = {}
    for state in (JobState.RUNNING, JobState.PAUSED, JobState.SUCCEEDED):
        folders[state] = scratch / "jobs" / world.add_job(state)
    recent = scratch / "jobs" / world.add_job(JobState.FAILED)
    unknown = scratch / "jobs" / "job_forgotten"
    for folder in (*folders.values(), recent, unknown):
        (folder / "checkpoints").mkdir(parents=True)
        if folder != recent:
            age(folder)
    world.task.clean_scratch()
    assert young.exists()
    assert not old.exists()
    left = set((scratch / "jobs").iterdir())
    assert left == {folders[JobState.RUNNING], folders[JobState.PAUSED], recent}


def test_a_cache_that_no_job_used_lately_is_removed(world: World) -> None:
    caches = world.settings.scratch_dir / "cache"
    old, young, stray = caches / "a", caches / "b", caches / "of-an-old-version.safetensors"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "scores").write_text("x")
    stray.write_text("x")
    age(old)
    age(stray)
    world.task.clean_scratch()
    assert list(caches.iterdir()) == [young]


def test_a_missing_scratch_folder_is_clean(tmp_path: Path) -> None:
    assert clean_uploads(tmp_path / "none", LONG_AGO) == 0


def test_the_operator_collects_by_hand(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = world.put_old("orphan")
    monkeypatch.setenv("SECATEUR_DATA_DIR", str(world.settings.data_dir))
    dry = CliRunner().invoke(command_line, ["collect-garbage", "--dry-run"])
    assert "Would remove 1 of 1 objects, 6 of 6 bytes" in dry.output
    assert world.store.has(sha256)
    done = CliRunner().invoke(command_line, ["collect-garbage"])
    assert "Removed 1 of 1 objects" in done.output
    assert not world.store.has(sha256)


def test_a_job_that_ended_lets_its_checkpoint_go(world: World) -> None:
    sha256 = world.put_old("weights")
    job_id = world.add_job(JobState.QUEUED)
    with world.sessions.begin() as session:
        session.get_one(JobRow, job_id).checkpoint = {"token": 1, "files": {"w": sha256}}
    world.task.collect()
    assert world.store.has(sha256)
    with world.sessions.begin() as session:
        session.get_one(JobRow, job_id).state = JobState.SUCCEEDED
    world.task.collect()
    assert not world.store.has(sha256)


def test_serve_answers_kept_alive_connections_at_once(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, api={"port": 0})  # type: ignore[arg-type]
    with (
        _listen(settings) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
