"""Wait in place for an object store that is away, because the work of a job lies on this disk."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from app.contracts.errors import UnavailableError
from worker.time_limit import InterruptedAttemptError, TimeLimit

log = structlog.get_logger(__name__)

_FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS = 1.0, 10.0
_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 5.0  # of a pause or a shutdown, for files that are being stored

T = TypeVar("T")


class Outage:
    """The waits of one attempt for the object store.

    Args:
        store_seconds: Longest time of one try.
        outage_seconds: Longest time of all tries.
        is_pointless: Whether nobody waits for the files any more.
        is_to_stop: Whether the attempt is to stop, for any reason.
        on_away: Called with the reason after each failed try.

    Attributes:
        seconds: Time waited so far, with the time of the failed tries.
    """

    def __init__(
        self,
        store_seconds: float,
        outage_seconds: float,
        is_pointless: Callable[[], bool],
        is_to_stop: Callable[[], bool],
        on_away: Callable[[str], None],
    ) -> None:
        self.seconds = 0.0
        self._store_seconds, self._outage_seconds = store_seconds, outage_seconds
        self._is_pointless, self._is_to_stop, self._on_away = is_pointless, is_to_stop, on_away

    def outlast(self, call: Callable[[TimeLimit], T]) -> T:
        """Return what ``call`` returns, calling it again while the store is away.

        A pause or a shutdown ends the wait. It ends the first try only if that takes long.

        Raises:
            InterruptedAttemptError: The attempt is to stop.
            UnavailableError: The store was away for ``outage_seconds``.
        """
        begun, wait = time.monotonic(), _FIRST_WAIT_SECONDS

        def is_interrupted() -> bool:
            is_late = self.seconds > 0 or time.monotonic() - begun > _PATIENCE_SECONDS
            return self._is_pointless() or (is_late and self._is_to_stop())

        while True:
            try:
                return call(TimeLimit(self._store_seconds, is_interrupted))
            except UnavailableError as error:
                self.seconds = time.monotonic() - begun
                if self.seconds + wait > self._outage_seconds:
                    raise
                log.warning("store.away", reason=str(error), wait_seconds=wait)
                self._on_away(str(error))
            self._sleep(wait)
            self.seconds = time.monotonic() - begun
            wait = min(_MAX_WAIT_SECONDS, 2 * wait)

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._is_to_stop():
                raise InterruptedAttemptError
            time.sleep(min(left, _POLL_SECONDS))
