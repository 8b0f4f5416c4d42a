"""A shared-exclusive lock between puts that rewrite old objects and the collector.

The collector holds it exclusively while it checks and deletes one object. Puts that rewrite an old
object share it. The lock is tied to a connection or an open file, so it is released when its holder
dies. Puts of new objects, nearly all of them, never take it.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from app.contracts.errors import UnavailableError
from app.records.deadlines import set_deadline

_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.02
_ADVISORY_KEY = 0x5ECA7E08  # arbitrary; unlikely to be used by other clients of the database


class ObjectLock(Protocol):
    """Shared-exclusive lock; raises `UnavailableError` after half a minute of waiting."""

    def shared(self) -> AbstractContextManager[None]:
        """Hold the lock together with other puts."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Hold the lock exclusively, to delete."""
        ...


def create_object_lock(engine: Engine, wait_seconds: float = _WAIT_SECONDS) -> ObjectLock:
    """Return the lock shared by all clients of the database of ``engine``."""
    if engine.dialect.name == "sqlite":
        # A file lock, not the database's: heartbeats must continue while gigabytes are written.
        return _FileLock(Path(f"{engine.url.database}-objects.lock"), wait_seconds)
    return _AdvisoryLock(engine, wait_seconds)


class _FileLock:
    def __init__(self, path: Path, wait_seconds: float) -> None:
        self._path, self._wait_seconds = path, wait_seconds

    def shared(self) -> AbstractContextManager[None]:
        return self._held(fcntl.LOCK_SH)

    def alone(self) -> AbstractContextManager[None]:
        return self._held(fcntl.LOCK_EX)

    @contextmanager
    def _held(self, kind: int) -> Iterator[None]:
        end = time.monotonic() + self._wait_seconds
        with self._path.open("a") as file:
            while True:
                try:
                    fcntl.flock(file, kind | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > end:
                        raise UnavailableError("the object lock is held by another") from error
                    time.sleep(_POLL_SECONDS)
            yield


class _AdvisoryLock:
    def __init__(self, engine: Engine, wait_seconds: float) -> None:
        self._engine, self._wait_seconds = engine, wait_seconds

    def shared(self) -> AbstractContextManager[None]:
        return self._held("pg_advisory_xact_lock_shared")

    def alone(self) -> AbstractContextManager[None]:
        return self._held("pg_advisory_xact_lock")

    @contextmanager
    def _held(self, function: str) -> Iterator[None]:
        with self._engine.begin() as connection:
            # The lock is held while an object is written, which takes minutes.
            set_deadline(connection, None)
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            milliseconds = round(self._wait_seconds * 1000)
            connection.execute(text(f"SET LOCAL lock_timeout = {milliseconds}"))
            try:
                connection.execute(text(f"SELECT {function}({_ADVISORY_KEY})"))
            except OperationalError as error:
                raise UnavailableError("the object lock is held by another") from error
            yield
