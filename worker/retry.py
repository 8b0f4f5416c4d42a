"""Retry transactions while the database cannot be reached."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError

log = structlog.get_logger(__name__)

DISCONNECTED = (OperationalError, InterfaceError)
_FIRST_WAIT_SECONDS = 0.2
_MAX_WAIT_SECONDS = 5.0

T = TypeVar("T")


def retry(write: Callable[[], T], is_pointless: threading.Event, limit_seconds: float) -> T:
    """Return what ``write`` returns, calling it again while the database cannot be reached.

    Args:
        write: One transaction, rolled back when it raises.
        is_pointless: Set when the result is no longer needed, such as when a lease is lost.
        limit_seconds: When to give up.

    Raises:
        OperationalError: The database could not be reached in time, or ``is_pointless`` was set.
    """
    end, wait = time.monotonic() + limit_seconds, _FIRST_WAIT_SECONDS
    while True:
        try:
            return write()
        except DISCONNECTED:
            if is_pointless.is_set() or time.monotonic() + wait > end:
                raise
            log.warning("database.away", wait_seconds=wait, exc_info=True)
        is_pointless.wait(wait)
        wait = min(_MAX_WAIT_SECONDS, 2 * wait)
