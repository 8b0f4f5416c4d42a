"""TTL cache of valid keys, so that polling does not query the database on each request.

Every API process refuses a revoked or expired key after at most a second. Refusals are not cached.
"""

import hashlib
import time
from collections.abc import Callable
from functools import partial

from app.keys.last_use import LastUse
from app.keys.service import Principal, authenticate, is_live
from app.records.database import Sessions, current_time, reading
from app.records.tables import ApiKeyRow
from app.ttl_cache import TtlCache

_TTL_SECONDS = 1.0
_MOST_KEYS = 1024


class KeyCache:
    """Valid keys, cached for a second."""

    def __init__(
        self,
        sessions: Sessions,
        clock: Callable[[], float] = time.monotonic,
        last_use: LastUse | None = None,
    ) -> None:
        self._sessions, self._clock, self._last_use = sessions, clock, last_use
        # Keyed by hash: no secrets in memory.
        self._found = TtlCache[bytes, Principal](_TTL_SECONDS, _MOST_KEYS, clock)
        self._good: dict[str, float] = {}  # by id: time of the last check in `is_still_good`

    async def find(self, plaintext: str) -> Principal:
        """Return the principal of a key, read from the database at most a second ago.

        Raises:
            UnauthenticatedError: The key is malformed, unknown, expired or revoked.
        """
        return await self._found.get(_digest(plaintext), partial(self.look_up, plaintext))

    def look_up(self, plaintext: str) -> Principal:
        """Return the principal of a key, read from the database.

        Raises:
            UnauthenticatedError: The key is malformed, unknown, expired or revoked.
        """
        row, now = authenticate(self._sessions, plaintext)
        if self._last_use is not None:
            self._last_use.note(row, now)
        return Principal(row.tenant, frozenset(row.scopes), row.id)

    def is_still_good(self, principal: Principal) -> bool:
        """Return whether the key of a long response is still valid; at most a second old."""
        key_id, now = principal.key_id, self._clock()
        if key_id is None or now - self._good.get(key_id, -_TTL_SECONDS) < _TTL_SECONDS:
            return True
        with reading(self._sessions) as session:
            row = session.get(ApiKeyRow, key_id)
            is_good = row is not None and is_live(row, current_time(session))
        if len(self._good) >= _MOST_KEYS:
            self._good = {}
        if is_good:
            self._good[key_id] = now
        return is_good


def _digest(plaintext: str) -> bytes:
    return hashlib.sha256(plaintext.encode()).digest()
