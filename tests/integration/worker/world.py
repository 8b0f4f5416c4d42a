"""A worker's runner with real rows, objects and processes, and scripted jobs."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from app.contracts.ids import new_id
from app.contracts.job import JobKind
from app.contracts.settings import Settings
from app.objects.storage import ObjectStore, open_store
from app.records import jobs
from app.records.database import Sessions, create_database, create_sessions, current_time
from app.records.events import list_events
from app.records.jobs import NewJob
from app.records.rings import ring_after_commit
from app.records.tables import JobRow, ModelRow
from tests.fixtures.databases import migrate
from worker.fork_server.client import ForkServer
from worker.runner import Runner


class World:
    """A runner with its rows, store and settings."""

    def __init__(
        self,
        folder: Path,
        server: ForkServer,
        outputs: Mapping[str, object] | None = None,
        **worker: object,
    ) -> None:
        folder.mkdir(exist_ok=True)
        chosen = {"heartbeat_seconds": 0.1, "cancel_grace_seconds": 0.5, **worker}
        limits = dict(outputs or {})
        self.settings = Settings(data_dir=folder, worker=chosen, outputs=limits)  # type: ignore[arg-type]
        engine = create_database(self.settings.database_url)
        migrate(engine)
        self.sessions: Sessions = create_sessions(engine)
        self.store: ObjectStore = open_store(self.settings.storage_url, self.settings.storage)
        self.rings: list[tuple[str, str]] = []
        ring_after_commit(self.sessions, lambda job_id, queue: self.rings.append((job_id, queue)))
        self.stopping = threading.Event()
        self.now = 0.0  # of the clock that rests are measured by
        self.server = server
        self.runner = Runner(
            self.settings,
            self.sessions,
            self.store,
            self.stopping,
            server,
            clock=lambda: self.now,
        )
        path = folder / "model"
        path.write_bytes(b"a model")
        self.sha256 = self.store.put_file(path)

    def post(
        self, script: int, stage: int = 0, tenant: str = "t", kind: JobKind = JobKind.PRUNE
    ) -> str:
        with self.sessions.begin() as session:
            model = ModelRow(
                id=new_id("mdl"), tenant=tenant, name="net", version="1", status="ready",
                format="pt2", filename=None, sha256=self.sha256, num_bytes=7, onnx_sha256=None,
                parent_id=None, job_id=None, preprocess=None, class_names=None, report=None,
                error=None, meta={}, created_at=current_time(session), deleted_at=None,
            )  # fmt: skip
            session.add(model)
            session.flush()
            config = {"seed": script, "retrain": {"epochs": stage}}
            new = NewJob(tenant, kind, config, config, "cpu", 2, model_id=model.id)
            return jobs.create_job(session, new).id

    def job(self, job_id: str) -> JobRow:
        with self.sessions() as session:
            return session.get_one(JobRow, job_id)

    def events(self, job_id: str) -> list[str]:
        with self.sessions() as session:
            return [e.type for e in list_events(session, job_id=job_id, after=0, limit=1000)]

    def make_due(self, job_id: str) -> None:
        with self.sessions.begin() as session:
            session.get_one(JobRow, job_id).not_before = None

    def run_again(self, job_id: str) -> None:
        """Run a job after its back-off and the worker's rest."""
        self.make_due(job_id)
        self.now += 1000
        self.runner.run_job(job_id)

    def on_another_machine(self, folder: Path) -> Runner:
        """Return a worker with the same rows and objects, and its own disk."""
        settings = Settings(data_dir=folder, worker=self.settings.worker)
        runner = Runner(settings, self.sessions, self.store, threading.Event(), self.server)
        runner.owner = f"{folder.name}:1"
        return runner

    def run_in_thread(self, job_id: str, stage: str = "saliency") -> threading.Thread:
        thread = threading.Thread(target=self.runner.run_job, args=(job_id,))
        thread.start()
        wait_for(lambda: self.job(job_id).stage == stage)
        return thread


def wait_for(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)
