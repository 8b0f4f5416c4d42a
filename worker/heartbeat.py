"""A worker's word that it is there, every few seconds, for `GET /v1/queues`.

In a thread of its own: a database that is slow or away must not keep Celery's loop waiting.
"""

import threading

import structlog

from app.records import workers
from app.records.database import Sessions
from app.records.workers import REPORT_SECONDS, WorkerIdentity
from worker.retry import AWAY

log = structlog.get_logger(__name__)


class Presence:
    """Says so from `start` to `stop`; one that is killed is missed within a minute."""

    def __init__(self, sessions: Sessions, report_seconds: float = REPORT_SECONDS) -> None:
        self._sessions, self._report_seconds = sessions, report_seconds
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, worker: WorkerIdentity) -> None:
        """Begin to say that ``worker`` is there."""
        self._thread = threading.Thread(target=self._run, args=(worker,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say that it has ended; it is not waited for long."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join(self._report_seconds)

    def _run(self, worker: WorkerIdentity) -> None:
        while True:
            self._say(worker)
            if self._is_over.wait(self._report_seconds):
                break
        self._say(worker, is_leaving=True)

    def _say(self, worker: WorkerIdentity, *, is_leaving: bool = False) -> None:
        try:
            with self._sessions.begin() as session:
                if is_leaving:
                    workers.leave(session, worker.name)
                else:
                    workers.report(session, worker)
        except AWAY:
            log.warning("presence.not_written", exc_info=True)
