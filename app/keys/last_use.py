"""Last-use times of keys, written in the background.

A key in use is read from the database once a second (`cache`), along with its last-use time. When
that is a minute old, a separate thread writes a new one. No request waits for the write, and a
failed write is dropped: the next read tries again.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import structlog
from sqlalchemy import or_, update
from sqlalchemy.exc import SQLAlchemyError

from app.records.database import Sessions, database_now
from app.records.tables import ApiKeyRow

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 60.0


class LastUse:
    """Background writer of last-use times, about once a minute per key."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._thread = ThreadPoolExecutor(1, "last-use")
        self._lock = threading.Lock()
        self._under_way: set[str] = set()

    def note(self, row: ApiKeyRow, now: float) -> None:
        """Schedule a write of a key's last use if the stored time is a minute old at ``now``."""
        if row.last_used_at is not None and now - row.last_used_at < INTERVAL_SECONDS:
            return
        with self._lock:
            if row.id in self._under_way:  # one pending write is enough when the database is slow
                return
            self._under_way.add(row.id)
        self._thread.submit(self._write, row.id)

    def close(self) -> None:
        """Finish pending writes."""
        self._thread.shutdown()

    def _write(self, key_id: str) -> None:
        is_old = ApiKeyRow.last_used_at <= database_now() - INTERVAL_SECONDS
        try:
            with self._sessions.begin() as session:
                session.execute(
                    update(ApiKeyRow)
                    .where(ApiKeyRow.id == key_id, or_(ApiKeyRow.last_used_at.is_(None), is_old))
                    .values(last_used_at=database_now())
                )
        except SQLAlchemyError:
            log.warning("keys.use_not_written", key_id=key_id, exc_info=True)
        finally:
            with self._lock:
                self._under_way.discard(key_id)
