"""TTL cache of valid keys, so that polling does not query the database on each request.

Every API process refuses a revoked or expired key after at most a second. Refusals are not cached.
Keys that the process does not know are looked up a few at a time: a flood of wrong keys may not
take the threads and connections that other requests need.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from functools import partial

from app.contracts.errors import UnauthenticatedError
from app.keys.last_use import LastUse
from app.keys.service import Principal, authenticate, is_live, refuse_malformed
from app.keys.wrong import WrongKeys
from app.records.database import Sessions, current_time, reading
from app.records.tables import ApiKeyRow
from app.ttl_cache import TtlCache

_TTL_SECONDS = 1.0
_MOST_KEYS = 1024
_MOST_FAMILIAR = 100_000
_LOOKUPS_AT_ONCE = 4  # of unknown keys; all requests share 40 threads


class KeyCache:
    """Valid keys, cached for a second."""

    def __init__(
        self,
        sessions: Sessions,
        clock: Callable[[], float] = time.monotonic,
        last_use: LastUse | None = None,
        wrong: WrongKeys | None = None,
    ) -> None:
        """Start empty.

        Args:
            sessions: Session factory.
            clock: Clock in seconds, replaced in tests.
            last_use: Writes down when keys were used.
            wrong: Refuses addresses that have sent too many wrong keys.
        """
        self._sessions, self._clock, self._last_use = sessions, clock, last_use
        self._wrong = wrong
        # Keyed by hash: no secrets in memory.
        self._found = TtlCache[bytes, Principal](_TTL_SECONDS, _MOST_KEYS, clock)
        self._familiar: set[bytes] = set()  # hashes of keys that were valid when last looked up
        self._strangers = asyncio.Semaphore(_LOOKUPS_AT_ONCE)
        self._good: dict[str, float] = {}  # by id: time of the last check in `is_still_good`

    async def find(self, plaintext: str, address: str = "") -> Principal:
        """Return the principal of a key, read from the database at most a second ago.

        Args:
            plaintext: The key.
            address: Where it came from.

        Raises:
            UnauthenticatedError: The key is malformed, unknown, expired or revoked.
            WrongKeysError: The address has sent too many wrong keys, and this one is unknown.
        """
        digest = _digest(plaintext)
        read = partial(self.look_up, plaintext)
        if digest in self._familiar:
            try:
                return await self._found.get(digest, read)
            except UnauthenticatedError:
                self._familiar.discard(digest)
                raise
        refuse_malformed(plaintext)
        return await self._find_stranger(digest, read, address)

    async def _find_stranger(
        self, digest: bytes, read: Callable[[], Principal], address: str
    ) -> Principal:
        if self._wrong is not None:
            self._wrong.refuse(address)
        try:
            async with self._strangers:
                principal = await self._found.get(digest, read)
        except UnauthenticatedError:
            if self._wrong is not None:
                self._wrong.count(address)
            raise
        if len(self._familiar) >= _MOST_FAMILIAR:
            self._familiar.clear()
        self._familiar.add(digest)
        return principal

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
