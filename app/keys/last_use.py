"""When keys were last used, written beside the requests that use them.

A key in use is looked up in the database once a second (`cache`), which shows how old its time is;
a thread of its own writes a new one when that is a minute. No request waits for the write, and one
that fails is forgotten: the next look tries again.
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
    """Writes when keys were used, about once a minute for each."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._thread = ThreadPoolExecutor(1, "last-use")
        self._lock = threading.Lock()
        self._under_way: set[str] = set()

    def note(self, row: ApiKeyRow, now: float) -> None:
        """Have the use of a key written down if its time is a minute old at ``now``."""
        if row.last_used_at is not None and now - row.last_used_at < INTERVAL_SECONDS:
            return
        with self._lock:
            if row.id in self._under_way:  # the database is slow; one write is enough
                return
            self._under_way.add(row.id)
        self._thread.submit(self._write, row.id)

    def close(self) -> None:
        """Finish what is under way."""
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
