"""Deadlines on the use of PostgreSQL connections.

A server that is frozen, or a network that swallows packets, leaves a connection open and silent.
Neither libpq nor psycopg has a timeout on reading, so whoever waits for a response would wait for
ever. A thread shuts the socket of a connection that is used past its deadline: the statement then
fails as if the server had gone away.
"""

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import psycopg
import structlog
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import InvalidatePoolError

PING_SECONDS = 5.0
_POLL_SECONDS = 0.5
_IDLE_SECONDS = 10.0  # after which the thread ends
_INFO = "deadlines"

log = structlog.get_logger(__name__)


class Deadlines:
    """Deadlines of the connections of one engine that are in use.

    A connection is checked when it leaves the pool, within `PING_SECONDS`, and from then on has
    ``seconds`` until it returns: one session is one transaction.

    Args:
        engine: An engine of PostgreSQL.
        seconds: The longest use of a connection.
    """

    def __init__(self, engine: Engine, seconds: float) -> None:
        self._dialect, self._seconds = engine.dialect, seconds
        self._ends: dict[int, tuple[float, psycopg.Connection[Any]]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        event.listen(engine, "checkout", self._check_out)
        for name in ("checkin", "invalidate", "close", "close_detached"):
            event.listen(engine, name, self._release)

    def set(self, driver: "psycopg.Connection[Any]", seconds: float | None) -> None:
        """Replace the deadline of a connection; None removes it."""
        with self._changed:
            if seconds is None:
                self._ends.pop(id(driver), None)
                return
            self._ends[id(driver)] = (time.monotonic() + seconds, driver)
            if self._thread is None or not self._thread.is_alive():  # not alive after a fork
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
            self._changed.notify()

    def _check_out(self, driver: Any, record: Any, _proxy: object) -> None:  # noqa: ANN401  # SQLAlchemy's
        record.info[_INFO] = self
        self.set(driver, PING_SECONDS)
        try:
            self._dialect.do_ping(driver)
        except psycopg.Error as error:
            raise InvalidatePoolError(str(error)) from error  # the pool opens a new connection
        self.set(driver, self._seconds)

    def _release(self, driver: Any, *_: object) -> None:  # noqa: ANN401  # SQLAlchemy's
        if driver is not None:
            self.set(driver, None)

    def _watch(self) -> None:
        while True:
            with self._changed:
                if not self._ends and not self._changed.wait_for(lambda: self._ends, _IDLE_SECONDS):
                    self._thread = None
                    return
                now = time.monotonic()
                late = [key for key, (end, _) in self._ends.items() if end <= now]
                for key in late:
                    _shut(self._ends.pop(key)[1])
            if late:
                log.warning("database.silent", num_connections=len(late))
            time.sleep(_POLL_SECONDS)


def set_deadline(connection: Connection, seconds: float | None) -> None:
    """Replace the deadline of a connection in use; None removes it. SQLite has no deadlines."""
    deadlines = connection.info.get(_INFO)
    if deadlines is not None:
        deadlines.set(connection.connection.driver_connection, seconds)


def _shut(driver: "psycopg.Connection[Any]") -> None:
    """Shut the socket of a connection, so that the thread that reads it gets an error."""
    with (
        suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(driver.pgconn.socket)) as copy,
    ):
        copy.shutdown(socket.SHUT_RDWR)
