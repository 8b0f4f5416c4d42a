"""A worker's tasks: run jobs when notified, and the periodic work on the queue."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog

from app.contracts.settings import Settings
from app.objects.storage import ObjectStore
from app.records import jobs, leases
from app.records.database import Sessions, reading
from app.records.leases import Claim
from app.records.line import Allowance
from app.records.tables import JobRow
from app.telemetry.spans import Spans
from app.telemetry.tracing import enter_trace
from worker.attempt import Attempt
from worker.context import WorkerContext
from worker.fitness import Fitness
from worker.fork_server.client import ForkServer
from worker.lease import Lease
from worker.metrics import WorkerMetrics

log = structlog.get_logger(__name__)


class Runner:
    """Runs the jobs of one worker.

    Attributes:
        owner: Name that the worker's leases carry.
        fitness: Whether the worker can run jobs.
        metrics: Metrics of the worker.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # its collaborators
        self,
        settings: Settings,
        sessions: Sessions,
        store: ObjectStore,
        stopping: threading.Event,
        server: ForkServer,
        clock: Callable[[], float] = time.monotonic,
        metrics: WorkerMetrics | None = None,
        spans: Spans | None = None,
    ) -> None:
        self._settings, self._sessions, self._stopping = settings, sessions, stopping
        self.fitness = Fitness(settings, store, server, stopping.is_set, clock)
        self.metrics, self._spans = metrics or WorkerMetrics(), spans or Spans()
        self.metrics.watch(settings.scratch_dir, lambda: self.fitness.trouble)
        self._context = WorkerContext(
            settings, sessions, store, stopping, server, self.fitness, self.metrics
        )
        self.owner = f"{socket.gethostname()}:{os.getpid()}"

    def set_slots(self, num_slots: int) -> None:
        """Tell how many jobs this worker runs at the same time."""
        self._context = replace(self._context, num_slots=num_slots)
        self.metrics.slots.set(num_slots)

    def run_job(self, job_id: str) -> None:
        """Run the jobs of the queue that ``job_id`` waits in, one by one, until none is due.

        `records.line` decides the order. A worker that comes too late finds no job.
        """
        with reading(self._sessions) as session:
            job = session.get(JobRow, job_id)
        if job is not None:
            while not self._stopping.is_set() and self._run_next(job.queue):
                pass

    def ring_again(self) -> None:
        """Notify workers again about queued jobs: the notification was lost, or came early."""
        with self._sessions.begin() as session:
            jobs.ring_again(session)

    def _run_next(self, queue: str) -> bool:
        """Run the next job in line; return whether there was one."""
        if not self.fitness.may_claim():
            return False  # the notification is repeated
        worker = self._settings.worker
        with self._sessions.begin() as session:
            claim = leases.claim_next(
                session,
                queue=queue,
                owner=self.owner,
                lease_seconds=worker.lease_seconds,
                allowance=Allowance.of(self._settings.quotas),
            )
        if claim is None:
            return False
        with self._naming(claim):
            log.info("job.claimed")
            self._run(claim)
            log.info("job.left")
        return True

    @contextmanager
    def _naming(self, claim: Claim) -> Iterator[None]:
        """Let every line of the log name the job, and where it comes from."""
        named = {
            "job_id": claim.job_id,
            "kind": claim.kind.value,
            "attempt": claim.attempt,
            "tenant": claim.tenant,
            "request_id": claim.request_id,
            "worker": self.owner,
        }
        enter_trace(claim.trace_id)
        try:
            with structlog.contextvars.bound_contextvars(**named):
                yield
        finally:
            enter_trace(None)

    def _run(self, claim: Claim) -> None:
        worker = self._settings.worker
        about: dict[str, str | int] = {
            "secateur.job": claim.job_id,
            "secateur.attempt": claim.attempt,
        }
        with (
            self._spans.job(f"job {claim.kind}", claim.trace_id, claim.request_id, about) as span,
            self.metrics.attempt(
                claim.kind, lambda stage: self._spans.begin_stage(f"stage {stage}", span)
            ) as measured,
            Lease(
                self._sessions,
                claim,
                worker.lease_seconds,
                worker.heartbeat_seconds,
                self.metrics,
            ) as lease,
        ):
            Attempt(self._context, claim, lease, measured).run()
