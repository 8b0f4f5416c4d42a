"""The heartbeat of a worker: a row written every few seconds, for `GET /v1/queues`.

It runs in its own thread, so that a slow or unreachable database does not block Celery's loop.
"""

import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from app.records import workers
from app.records.database import Sessions
from app.records.workers import REPORT_SECONDS, WorkerIdentity
from worker.retry import DISCONNECTED

log = structlog.get_logger(__name__)


class Heartbeat:
    """Reports a worker from `start` to `stop`; a killed worker disappears within a minute."""

    def __init__(self, sessions: Sessions, report_seconds: float = REPORT_SECONDS) -> None:
        self._sessions, self._report_seconds = sessions, report_seconds
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(
        self, worker: WorkerIdentity, find_trouble: Callable[[], str | None] = lambda: None
    ) -> None:
        """Start to report ``worker``, each time with the trouble that it has."""
        arguments = (worker, find_trouble)
        self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Report that the worker has stopped; wait at most one period for the report."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join(self._report_seconds)

    def _run(self, worker: WorkerIdentity, find_trouble: Callable[[], str | None]) -> None:
        while True:
            self._report(replace(worker, trouble=find_trouble()))
            if self._is_over.wait(self._report_seconds):
                break
        self._report(worker, is_leaving=True)

    def _report(self, worker: WorkerIdentity, *, is_leaving: bool = False) -> None:
        try:
            with self._sessions.begin() as session:
                if is_leaving:
                    workers.leave(session, worker.name)
                else:
                    workers.report(session, worker)
        except DISCONNECTED:
            log.warning("heartbeat.not_written", exc_info=True)
