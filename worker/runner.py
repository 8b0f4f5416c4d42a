"""A worker's tasks: run jobs when notified, and the periodic work on the queue."""

import os
import socket
import threading
from dataclasses import replace

import structlog
from sqlalchemy import select

from app.contracts.settings import Settings
from app.objects.storage import ObjectStore
from app.records import jobs, leases, workers
from app.records.database import Sessions, reading
from app.records.line import Allowance
from app.records.tables import JobRow
from app.telemetry.tracing import enter_trace
from worker.attempt import Attempt
from worker.context import WorkerContext
from worker.fork_server.client import ForkServer
from worker.lease import Lease

log = structlog.get_logger(__name__)

_PLAN_SECONDS = 3600.0  # a plan that nobody fetched is deleted after this


class Runner:
    """Runs the jobs of one worker.

    Attributes:
        owner: Name that the worker's leases carry.
    """

    def __init__(  # its collaborators
        self,
        settings: Settings,
        sessions: Sessions,
        store: ObjectStore,
        stopping: threading.Event,
        server: ForkServer,
    ) -> None:
        self._settings, self._sessions, self._stopping = settings, sessions, stopping
        self._context = WorkerContext(settings, sessions, store, stopping, server)
        self.owner = f"{socket.gethostname()}:{os.getpid()}"

    def set_slots(self, num_slots: int) -> None:
        """Tell how many jobs this worker runs at the same time."""
        self._context = replace(self._context, num_slots=num_slots)

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

    def reap(self) -> None:
        """Reclaim expired leases, expire overdue jobs, delete old plans and absent workers."""
        with self._sessions.begin() as session:
            reaped = leases.reap_expired(session)
            jobs.expire_overdue(session)
            jobs.forget_plans(session, older_than_seconds=_PLAN_SECONDS)
            workers.forget_absent(session)
        for job_id in reaped:
            log.warning("job.lease_expired", job_id=job_id)

    def _run_next(self, queue: str) -> bool:
        """Run the next job in line; return whether there was one."""
        if self._context.server.is_resting():
            return False  # a claim would only use up an attempt; the notification is repeated
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
        bound = log.bind(job_id=claim.job_id, attempt=claim.attempt)
        enter_trace(self._trace_of(claim.job_id))
        bound.info("job.claimed")
        with Lease(self._sessions, claim, worker.lease_seconds, worker.heartbeat_seconds) as lease:
            Attempt(self._context, claim, lease).run()
        bound.info("job.left")
        enter_trace(None)
        return True

    def _trace_of(self, job_id: str) -> str | None:
        with reading(self._sessions) as session:
            return session.scalars(select(JobRow.trace_id).where(JobRow.id == job_id)).first()
