"""Keys that were found good a moment ago, so that polling does not ask the database each time.

A key that is revoked or expires is refused a second later at most. Keys that were refused are not
remembered.
"""

import hashlib
import time
from collections.abc import Callable

from app.contracts.database import Sessions
from app.keys.service import Principal, authenticate

_FRESH_SECONDS = 1.0
_MOST_KEYS = 1024


class KeyCache:
    """Who holds which key, as old as a second."""

    def __init__(self, sessions: Sessions, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions, self._clock = sessions, clock
        self._found: dict[bytes, tuple[float, Principal]] = {}  # by hash: no secrets in memory

    def recall(self, plaintext: str) -> Principal | None:
        """Return who holds a key if that was looked up within a second; touches no database."""
        looked_up_at, principal = self._found.get(_digest(plaintext), (0.0, None))
        is_fresh = self._clock() - looked_up_at < _FRESH_SECONDS
        return principal if is_fresh else None

    def look_up(self, plaintext: str) -> Principal:
        """Return who holds a key, by the database.

        Raises:
            UnauthenticatedError: It is malformed, unknown, expired or revoked.
        """
        now = self._clock()  # before the look: a key revoked during it counts as of now
        principal = authenticate(self._sessions, plaintext)
        if len(self._found) >= _MOST_KEYS:
            self._found = {}
        self._found[_digest(plaintext)] = (now, principal)
        return principal


def _digest(plaintext: str) -> bytes:
    return hashlib.sha256(plaintext.encode()).digest()
