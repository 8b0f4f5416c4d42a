"""The service's programs started separately, as in production: API, scheduler and workers."""

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, text

from app.records.database import create_database
from app.records.migrations import upgrade
from tests.chaos.processes import kill_tree
from tests.faults.parts import wait_for
from tests.fixtures.api import zip_bytes
from tests.fixtures.service import FINAL

STUB, REAL = "tests.faults.stub_app", "worker.celery_app"
START_SECONDS = 90
JOB_SECONDS = 120
SETTINGS = {"API__IS_AUTH_REQUIRED": "false", "WORKER__NUM_THREADS": "1"}
QUICK = {
    "QUEUE__RING_SECONDS": "1",
    "WORKER__REAP_SECONDS": "1",
    "WORKER__HEARTBEAT_SECONDS": "0.5",
    "WORKER__LEASE_SECONDS": "4",
}


class Cluster:
    """Programs over one database, queue and store; every program has a machine (folder) of its own.

    Args:
        folder: Where the machines' folders and logs go.
        app: The Celery app of workers and scheduler: `STUB` or `REAL`.
        intervals: Settings of leases and intervals; shorter than the defaults, unless it is empty.
        settings: Without their prefix; database, queue and storage among them.
    """

    def __init__(
        self, folder: Path, app: str, intervals: Mapping[str, str] = QUICK, /, **settings: str
    ) -> None:
        self._folder, self._app = folder, app
        self._settings = {**SETTINGS, **intervals, **settings}
        self.own_settings: dict[str, dict[str, str]] = {}  # by program
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.engine: Engine = create_database(settings["DATABASE__URL"])
        upgrade(self.engine)
        self.client = httpx.Client()

    def start_api(self) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            number = listener.fileno()
            argv = ["app.server", "--fd", str(number)]
            self._start("api", argv, pass_fds=(number,))
        self.client = httpx.Client(base_url=base_url, timeout=30, trust_env=False)

        def is_alive() -> bool:
            with suppress(httpx.HTTPError):
                return self.client.get("/healthz").is_success
            return False

        wait_for(is_alive, START_SECONDS, "the API answers")

    def start_scheduler(self) -> None:
        self._start("scheduler", ["celery", "--app", self._app, "beat", "--loglevel", "INFO"])

    def start_worker(self, name: str, *queues: str, concurrency: int = 1) -> None:
        """Start a worker and wait until it takes messages."""
        argv = ["celery", "--app", self._app, "worker", "--pool", "threads", "--loglevel", "INFO"]
        argv += ["--without-mingle", "--without-gossip", "-n", f"{name}@%h"]
        self._start(name, [*argv, "-Q", ",".join(queues), "-c", str(concurrency)])
        log = self.log_path(name)
        wait_for(lambda: " ready." in log.read_text(), START_SECONDS, f"worker {name} is ready")

    def start_intake(self) -> None:
        self.start_worker("intake", "intake", "maintenance", concurrency=2)

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    @property
    def programs(self) -> set[str]:
        """Names of the programs that were started and not stopped."""
        return set(self._processes)

    def is_running(self, name: str) -> bool:
        return self._processes[name].poll() is None

    def kill(self, name: str) -> None:
        process = self._processes.pop(name)
        kill_tree(process.pid)
        process.wait()

    def stop(self, name: str) -> None:
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    def log_path(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def log(self, name: str) -> str:
        return self.log_path(name).read_text()

    def machine(self, name: str) -> Path:
        """Return the data directory of a program."""
        return self._folder / name

    def close(self) -> None:
        for process in self._processes.values():
            kill_tree(process.pid)
            process.wait()
        self.client.close()
        self.engine.dispose()

    def _start(self, name: str, argv: list[str], pass_fds: tuple[int, ...] = ()) -> None:
        machine = self.machine(name)
        machine.mkdir(exist_ok=True)
        own = self.own_settings.get(name, {})
        settings = {**self._settings, **own, "DATA_DIR": str(machine)}
        environment = {**os.environ, **{f"SECATEUR_{k}": v for k, v in settings.items()}}
        environment |= {"OMP_NUM_THREADS": "1", "SECATEUR_WORKER__LATENCY_SECONDS": "0.05"}
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])  # where the stub is found
        (machine / "scratch").mkdir(exist_ok=True)
        with self.log_path(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *argv],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
            )

    # What a user does.

    def upload_model(self, content: bytes | None = None) -> str:
        """Upload a file that the stub accepts as a model; return its id when it is ready."""
        response = self.client.post("/v1/models", content=content or zip_bytes())
        assert response.status_code == 201, response.text
        model_id = str(response.json()["id"])

        def verdict() -> bool:
            found = self.client.get(f"/v1/models/{model_id}").json()
            assert found["status"] != "rejected", found
            return bool(found["status"] == "ready")

        wait_for(verdict, JOB_SECONDS, "the model is ready")
        return model_id

    def post(self, model_id: str, seed: int = 0) -> str:
        """Post a job that lasts ``seed`` tenths of a second."""
        body = {"model": model_id, "config": {"seed": seed}}
        response = self.client.post("/v1/jobs", json=body)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    # What the rows say.

    def job(self, job_id: str) -> dict[str, Any]:
        query = text("SELECT * FROM job WHERE id = :id")
        with self.engine.connect() as connection:
            return dict(connection.execute(query, {"id": job_id}).mappings().one())

    def wait_for_state(self, job_id: str, *states: str, seconds: float = JOB_SECONDS) -> Any:
        """Wait until the job is in one of ``states`` and return its row."""

        def is_there() -> dict[str, Any] | None:
            found = self.job(job_id)
            if found["state"] in states:
                return found
            assert found["state"] not in FINAL, (found["state"], found["error"])
            return None

        return wait_for(is_there, seconds, f"{job_id} is {' or '.join(states)}")

    def wait_for_first_attempt(self, job_id: str) -> dict[str, Any]:
        """Wait until an attempt of a job has ended, and return its row."""

        def is_over() -> dict[str, Any] | None:
            found = self.job(job_id)
            return found if found["attempt"] > 0 and found["state"] != "running" else None

        found: dict[str, Any] = wait_for(is_over, JOB_SECONDS, f"an attempt of {job_id} is over")
        return found

    def num_claims(self, job_id: str) -> int:
        query = text("SELECT COUNT(*) FROM event WHERE job_id = :id AND type = 'job.running'")
        with self.engine.connect() as connection:
            return int(connection.execute(query, {"id": job_id}).scalar_one())

    def wait_for_step(self, job_id: str) -> None:
        """Wait until the job is in the middle of its work."""

        def is_there() -> bool:
            found = self.job(job_id)
            assert found["state"] not in FINAL, "it ended before it could be disturbed"
            return bool(found["stage"] == "retrain")

        wait_for(is_there, JOB_SECONDS, f"{job_id} is in its work")

    def check_effects_once(self, job_id: str) -> None:
        """Assert that a job that succeeded left one version, one row a file, events in order."""
        with self.engine.connect() as connection:

            def column(query: str) -> list[Any]:
                return [row[0] for row in connection.execute(text(query), {"id": job_id})]

            models = column("SELECT id FROM model WHERE job_id = :id")
            names = Counter(column("SELECT name FROM artifact WHERE job_id = :id"))
            types = column("SELECT type FROM event WHERE job_id = :id ORDER BY number")
            numbers = column("SELECT number FROM event WHERE job_id = :id ORDER BY number")
        assert len(models) == 1, models
        assert set(names.values()) == {1}, names
        assert types.count("job.succeeded") == 1, types
        assert types[-1] == "job.succeeded"
        assert numbers == list(range(1, len(numbers) + 1))


@contextmanager
def running_cluster(
    folder: Path, app: str, intervals: Mapping[str, str] = QUICK, /, **settings: str
) -> Iterator[Cluster]:
    """Stop all started programs when the block ends."""
    cluster = Cluster(folder, app, intervals, **settings)
    try:
        yield cluster
    finally:
        cluster.close()
