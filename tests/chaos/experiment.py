"""One job and one kill in `secateur serve`: nothing is lost, and nothing done twice."""

import contextlib
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.cli.processes import QUICK_SECONDS
from app.records.database import create_database
from tests.chaos.processes import find_part, kill_tree, send
from tests.chaos.promises import Trace, read_trace
from tests.fixtures.service import FINAL, Service, images, npz_bytes, serving, trained_model_bytes

SETTINGS = {
    "SECATEUR_WORKER__NUM_THREADS": "1",
    "SECATEUR_WORKER__LEASE_SECONDS": "4",
    "SECATEUR_WORKER__HEARTBEAT_SECONDS": "1",
    "SECATEUR_WORKER__REAP_SECONDS": "1",
    "SECATEUR_QUEUE__RING_SECONDS": "1",
    "OMP_NUM_THREADS": "1",
}
CONFIG = {
    "selection": {"mode": "ratio", "ratio": 0.5},
    # A given learning rate: the search for one would be a third of so short a job.
    "retrain": {"epochs": 12, "batch_size": 16, "optimizer": {"learning_rate": 0.05}},
}
DEADLINE_SECONDS = 300


class Experiment:
    """A running service, a model, and what an undisturbed job left behind."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._engine = create_database(f"sqlite:///{service.folder / 'secateur.db'}")
        self._killed_at: dict[str, float] = {}
        model = service.upload("models", trained_model_bytes(), name="small")
        x, y = images()
        dataset = service.upload("datasets", npz_bytes(x=x, y=y), filename="d.npz")
        assert (model["status"], dataset["status"]) == ("ready", "ready"), (model, dataset)
        self._body = {"model": model["id"], "dataset": dataset["id"], "config": CONFIG}
        begun = time.monotonic()
        self._reference = self._wait(service.post_job(**self._body))
        self._seconds = time.monotonic() - begun
        assert not self._reference.broken()

    def run(self, victim: str, moment: float) -> list[str]:
        """Post a job, kill ``victim``, wait, and return every broken promise.

        ``moment`` is a share of the undisturbed job's life.
        """
        self._keep_apart(victim)
        job_id = self._service.post_job(**self._body)
        time.sleep(moment * self._seconds)  # the moment itself, not a wait for something
        is_hit = self._kill(victim, job_id)
        killed_at = time.time()
        if victim == "all":
            self._service.start()
        trace = self._wait(job_id)
        is_late = not is_hit or (trace.finished_at or killed_at) < killed_at
        late = ["the job ended before it could be disturbed"] if is_late else []
        return late + trace.broken(self._reference)

    def close(self) -> None:
        self._engine.dispose()

    def _keep_apart(self, victim: str) -> None:
        """Wait: `serve` gives up on a part that dies five times, each soon after its start."""
        since = time.monotonic() - self._killed_at.get(victim, 0)
        if victim not in {"job", "all"} and since < QUICK_SECONDS + 2:
            time.sleep(QUICK_SECONDS + 2 - since)

    def _kill(self, victim: str, job_id: str) -> bool:
        """SIGKILL the victim; False if the job ended before its process was seen."""
        self._killed_at[victim] = time.monotonic()
        process = self._service.process
        assert process is not None
        if victim == "all":
            self._service.client.close()
            kill_tree(process.pid)
            process.wait()
            return True
        while (found := find_part(process.pid, victim)) is None:
            job = self._look(job_id)
            if job is not None and job["status"] in FINAL:
                return False
            time.sleep(0.02)
        send(found.pid, signal.SIGKILL)
        return True

    def _look(self, job_id: str) -> dict[str, Any] | None:
        """Return the job, or None while the API does not answer."""
        with contextlib.suppress(httpx.HTTPError):
            response = self._service.client.get(f"/v1/jobs/{job_id}", timeout=10)
            if response.status_code == 200:
                found: dict[str, Any] = response.json()
                return found
            assert response.status_code >= 500, response.text  # a committed job is never unknown
        return None

    def _wait(self, job_id: str) -> Trace:
        """Return what the job left when it has ended, or as it is after the deadline."""
        end, status = time.monotonic() + DEADLINE_SECONDS, "unknown"
        while time.monotonic() < end and status not in FINAL:
            status = (self._look(job_id) or {"status": status})["status"]
            time.sleep(0.05)
        return read_trace(self._engine, job_id)


@contextmanager
def experimenting(folder: Path) -> Iterator[Experiment]:
    """Start the service and run the undisturbed job."""
    with serving(folder, **SETTINGS) as service, contextlib.closing(Experiment(service)) as found:
        yield found
