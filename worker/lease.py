"""A lease on a job, renewed by a background thread while the job runs."""

import threading
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.records import leases
from app.records.database import Sessions
from app.records.leases import Claim
from worker.metrics import WorkerMetrics

log = structlog.get_logger(__name__)


class Lease:
    """Context manager that renews a claim every ``heartbeat_seconds``.

    Attributes:
        is_lost: Set when the lease is no longer ours; the results must be discarded.
        is_cancel_requested: Set when the user cancelled the job.
        is_pause_requested: Set when the user paused the job.
        is_drain_requested: Set when an operator drained this worker.
    """

    def __init__(
        self,
        sessions: Sessions,
        claim: Claim,
        lease_seconds: float,
        heartbeat_seconds: float,
        metrics: WorkerMetrics,
    ) -> None:
        self.is_lost = threading.Event()
        self.is_cancel_requested = threading.Event()
        self.is_pause_requested = threading.Event()
        self.is_drain_requested = threading.Event()
        self._sessions, self._claim, self._metrics = sessions, claim, metrics
        self._lease_seconds, self._heartbeat_seconds = lease_seconds, heartbeat_seconds
        self._is_over = threading.Event()
        target = partial(copy_context().run, self._renew_until_over)  # for the log
        self._thread = threading.Thread(target=target, daemon=True)

    @property
    def is_stop_requested(self) -> bool:
        """Whether the attempt is to stop: for its user, for an operator, or the lease is lost."""
        events = (
            self.is_lost,
            self.is_cancel_requested,
            self.is_pause_requested,
            self.is_drain_requested,
        )
        return any(event.is_set() for event in events)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _renew_until_over(self) -> None:
        while not self._is_over.wait(self._heartbeat_seconds):
            try:
                with self._sessions.begin() as session:
                    status = leases.renew(session, self._claim, lease_seconds=self._lease_seconds)
            except SQLAlchemyError:
                # The database may be unreachable briefly; the lease outlives several heartbeats.
                self._metrics.renewal_failures.inc()
                log.warning("lease.renewal_failed", job_id=self._claim.job_id, exc_info=True)
                continue
            if not status.is_held:
                self._metrics.lease_losses.inc()
                self.is_lost.set()
                return
            if status.is_cancel_requested:
                self.is_cancel_requested.set()
            if status.is_pause_requested:
                self.is_pause_requested.set()
            if status.is_drain_requested:
                self.is_drain_requested.set()
