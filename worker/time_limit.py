"""Time limit of what an attempt does outside its process: copy files, and use the object store.

The store may not answer for hours, and a job's user may cancel it meanwhile. So its calls run in a
thread of their own, which is left behind when the attempt stops or the time is over.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from app.contracts.errors import UnavailableError

_POLL_SECONDS = 0.1

T = TypeVar("T")


class InterruptedAttemptError(Exception):
    """The attempt is to stop: its job was cancelled, or its lease is lost."""


class TimeLimit:
    """Seconds that an attempt has for the object store, from now on.

    Args:
        seconds: The limit.
        is_interrupted: Whether the attempt is to stop.
    """

    def __init__(self, seconds: float, is_interrupted: Callable[[], bool]) -> None:
        self._seconds, self._is_interrupted = seconds, is_interrupted
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Return if there is time left.

        Raises:
            InterruptedAttemptError: The attempt is to stop.
            UnavailableError: The time is over.
        """
        if self._is_interrupted():
            raise InterruptedAttemptError
        if time.monotonic() >= self._end:
            raise UnavailableError(f"the object store took longer than {self._seconds:g} s")

    def run(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns, or raise what it raises; see `check` for its end.

        ``call`` may go on in its thread after that, so it must not touch what others use.
        """
        self.check()
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001  # raised again by `result`
                future.set_exception(error)

        # Not of a pool: Python waits for the threads of pools when it exits.
        threading.Thread(target=work, name="object-store", daemon=True).start()
        while not wait([future], _POLL_SECONDS).done:
            self.check()
        return future.result()
