"""Positions of jobs in their queues, read about once a second for all clients."""

import threading
import time
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.contracts.job import JobState
from app.records.database import Sessions, reading
from app.records.line import Allowance, Line, look_along
from app.records.tables import JobRow

_TTL_SECONDS = 1.0
_LEAST_SECONDS = 0.2
_MOST_SHARE = 1 / 50  # largest share of the time spent on reading, however long the queue
_STALEST_SECONDS = 5.0  # upper limit of the age, even if one read was slow on a busy machine


@dataclass(frozen=True)
class Standing:
    """Position of a queued job.

    Attributes:
        position: Number of jobs ahead of this one.
        wait_seconds: Estimated wait from the durations of jobs like those ahead; None: unknown.
    """

    position: int
    wait_seconds: float | None


@dataclass(frozen=True)
class _Look:
    line: Line
    ended_at: float
    took_seconds: float


class Lines:
    """The lines of all queues, cached for a second. Long lines are read less often."""

    def __init__(self, sessions: Sessions, allowance: Allowance | None = None) -> None:
        """Read lines with ``sessions``, where ``allowance`` bounds each tenant's running jobs."""
        self._sessions, self._allowance = sessions, allowance
        self._lock = threading.Lock()
        self._looks: dict[str, _Look] = {}

    def standing(self, job: JobRow, session: Session | None = None) -> Standing | None:
        """Return the position of a job, or None if it is not queued.

        Args:
            job: Any job.
            session: Session that the caller already holds. Waiting for a second connection while
                holding one could deadlock.
        """
        if job.state != JobState.QUEUED:
            return None
        look = self._looks.get(job.queue)
        if _is_old(look, job):
            look = self._look_again(job, look, session)
        assert look is not None  # noqa: S101  # `_look_again` returns one
        return Standing(look.line.position(job), look.line.wait_seconds(job))

    def line(self, queue: str, session: Session) -> Line:
        """Return a queue's line."""
        look = self._looks.get(queue)
        if look is None or _is_older(look, _TTL_SECONDS):
            look = self._look(queue, session)
        return look.line

    def must_look(self, job: JobRow) -> bool:
        """Return whether `standing` would query the database."""
        if job.state != JobState.QUEUED:
            return False
        look = self._looks.get(job.queue)
        return look is None or (_is_old(look, job) and not self._lock.locked())

    def _look_again(self, job: JobRow, look: _Look | None, session: Session | None) -> _Look:
        if session is not None:
            return self._look(job.queue, session)
        is_first = self._lock.acquire(blocking=False)
        try:
            if look is not None and not is_first:
                return look  # another caller is reading
            with reading(self._sessions) as own:
                return self._look(job.queue, own)
        finally:
            if is_first:
                self._lock.release()

    def _look(self, queue: str, session: Session) -> _Look:
        began = time.monotonic()
        line = look_along(session, queue, self._allowance)
        ended = time.monotonic()
        look = self._looks[queue] = _Look(line, ended, ended - began)
        return look


def _is_old(look: _Look | None, job: JobRow) -> bool:
    if look is None:
        return True
    # A job newer than the cached line is worth another read, but not at once.
    least = _TTL_SECONDS if look.line.knows(job) else _LEAST_SECONDS
    return _is_older(look, least)


def _is_older(look: _Look, least_seconds: float) -> bool:
    most = max(least_seconds, min(_STALEST_SECONDS, look.took_seconds / _MOST_SHARE))
    return time.monotonic() - look.ended_at > most
