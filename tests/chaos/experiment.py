"""One job and one kill: the job is neither lost nor done twice, and its files are the same."""

import contextlib
import hashlib
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.cli.processes import QUICK_SECONDS
from tests.chaos.processes import find_part, kill_tree, send
from tests.fixtures.service import FINAL, Service, images, npz_bytes, serving, trained_model_bytes

VICTIMS = ("job", "worker", "scheduler", "api", "redis", "all")
ARTIFACTS = ("plan.json", "weights.safetensors", "model.onnx", "pruned.pt2")
SETTINGS = {
    "SECATEUR_WORKER__NUM_THREADS": "1",
    "SECATEUR_WORKER__LEASE_SECONDS": "4",
    "SECATEUR_WORKER__HEARTBEAT_SECONDS": "1",
    "SECATEUR_WORKER__REAP_SECONDS": "1",
    "SECATEUR_WORKER__MAX_ATTEMPTS": "10",
    "SECATEUR_QUEUE__RING_SECONDS": "1",
    "OMP_NUM_THREADS": "1",
}
CONFIG = {
    "selection": {"mode": "ratio", "ratio": 0.5},
    # A given learning rate: the search for one would be a third of so short a job.
    "retrain": {"epochs": 12, "batch_size": 16, "optimizer": {"learning_rate": 0.05}},
}
DEADLINE_SECONDS = 300
LATEST = 0.97  # of the undisturbed job's life: later kills would mostly come too late


@dataclass(frozen=True)
class Reference:
    """Results of the undisturbed job."""

    seconds: float
    sha256: dict[str, str]


@dataclass
class Run:
    """What happened to one job.

    Attributes:
        victim: What was killed.
        moment: When, in seconds after the job was posted.
        stage: Of the job at that moment, or its state while no stage had begun.
        is_late: The job had ended before the kill.
        seconds: From post to end.
        seconds_after: From the kill to the end.
        seconds_lost: How much longer it took than the undisturbed job.
        attempts: How often it was begun.
        problems: Every broken promise.
    """

    victim: str
    moment: float
    stage: str = "?"
    is_late: bool = False
    seconds: float = 0.0
    seconds_after: float = 0.0
    seconds_lost: float = 0.0
    attempts: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rows:
    """Rows of a job that succeeded."""

    attempt: int
    max_attempts: int
    num_events: int
    finished_at: float | None
    events: list[tuple[int, str]]
    artifacts: list[str]
    num_models: int

    def problems(self) -> list[str]:
        """Return the signs in the rows that an effect is missing or happened twice."""
        numbers = [number for number, _ in self.events]
        names = Counter(self.artifacts)
        num_ends = [kind for _, kind in self.events].count("job.succeeded")
        promises = {
            f"attempt {self.attempt} of {self.max_attempts}": self.attempt <= self.max_attempts,
            f"{self.num_models} model versions": self.num_models == 1,
            f"artifact rows {dict(names)}": set(names.values()) == {1},
            f"missing artifacts among {sorted(names)}": names.keys() >= set(ARTIFACTS),
            f"{num_ends} job.succeeded events": num_ends == 1,
            f"the last event is {self.events[-1]}": self.events[-1][1] == "job.succeeded",
            f"event numbers {numbers}": numbers == list(range(1, self.num_events + 1)),
        }
        return [what for what, is_kept in promises.items() if not is_kept]


class Experiment:
    """A running service, a model, and the results of an undisturbed job."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._killed_at: dict[str, float] = {}
        model = service.upload("models", trained_model_bytes(), name="small")
        x, y = images()
        dataset = service.upload("datasets", npz_bytes(x=x, y=y), filename="d.npz")
        assert (model["status"], dataset["status"]) == ("ready", "ready"), (model, dataset)
        self._body = {"model": model["id"], "dataset": dataset["id"], "config": CONFIG}
        self._run_undisturbed()  # the first job of a worker waits for what its process imports
        self.reference = self._run_undisturbed()

    def run(self, victim: str, moment: float) -> Run:
        """Post a job, kill ``victim``, wait, and compare.

        ``moment`` is a share of the undisturbed job's life. Whatever goes wrong is in the
        answer's ``problems``.
        """
        self._keep_apart(victim)
        run = Run(victim, moment * self.reference.seconds)
        job_id = self._service.post_job(**self._body)
        posted = time.monotonic()
        time.sleep(run.moment)  # the moment itself, not a wait for something
        job = self._look(job_id) or {}
        run.stage = job.get("stage") or job.get("status", "?")
        is_hit = self._kill(victim, job_id)
        killed, killed_at = time.monotonic(), time.time()
        run.moment = round(killed - posted, 2)
        if victim == "all":
            self._service.start()
        found = self._wait(job_id, posted + DEADLINE_SECONDS)
        ended = time.monotonic()
        run.seconds = round(ended - posted, 2)
        run.seconds_after = round(ended - killed, 2)
        run.seconds_lost = round(run.seconds - self.reference.seconds, 2)
        if found["status"] != "succeeded":
            run.problems.append(f"{job_id} is {found['status']}: {found.get('error')}")
        else:
            run.problems += self._compare(found)
        rows = self._read_rows(job_id)
        run.attempts = rows.attempt
        run.is_late = not is_hit or (rows.finished_at or killed_at) < killed_at
        run.problems += [f"{job_id}: {what}" for what in rows.problems()]
        return run

    def _run_undisturbed(self) -> Reference:
        posted = time.monotonic()
        job = self._wait(self._service.post_job(**self._body), posted + DEADLINE_SECONDS)
        assert job["status"] == "succeeded", job
        return Reference(round(time.monotonic() - posted, 2), self._hashes(job))

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

    def _wait(self, job_id: str, end: float) -> dict[str, Any]:
        """Return the job when it has ended, or as it is after the timeout."""
        last: dict[str, Any] = {"status": "unknown"}
        while time.monotonic() < end and last["status"] not in FINAL:
            last = self._look(job_id) or last
            time.sleep(0.05)
        return last

    def _hashes(self, job: dict[str, Any]) -> dict[str, str]:
        ids = {item["name"]: item["id"] for item in job["result"]["artifacts"]}
        found = {}
        for name in ARTIFACTS:
            response = self._service.client.get(f"/v1/artifacts/{ids[name]}/content")
            assert response.status_code == 200, response.text
            found[name] = hashlib.sha256(response.content).hexdigest()
        return found

    def _compare(self, job: dict[str, Any]) -> list[str]:
        found = self._hashes(job)
        changed = [name for name in ARTIFACTS if found[name] != self.reference.sha256[name]]
        return [f"{job['id']}: other bytes in {name}" for name in changed]

    def _read_rows(self, job_id: str) -> Rows:
        url = f"file:{self._service.folder / 'secateur.db'}?mode=ro"
        with closing(sqlite3.connect(url, uri=True)) as rows:
            query = "SELECT attempt, max_attempts, num_events, finished_at FROM job WHERE id = ?"
            attempt, most, num_events, finished_at = rows.execute(query, (job_id,)).fetchone()
            query = "SELECT number, type FROM event WHERE job_id = ? ORDER BY number"
            events = rows.execute(query, (job_id,)).fetchall()
            query = "SELECT name FROM artifact WHERE job_id = ?"
            names = [name for (name,) in rows.execute(query, (job_id,))]
            query = "SELECT COUNT(*) FROM model WHERE job_id = ?"
            (num_models,) = rows.execute(query, (job_id,)).fetchone()
        return Rows(attempt, most, num_events, finished_at, events, names, num_models)


@contextmanager
def experimenting(folder: Path) -> Iterator[Experiment]:
    """Start the service and run the undisturbed job."""
    with serving(folder, **SETTINGS) as service:
        yield Experiment(service)
