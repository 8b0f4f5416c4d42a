"""Slots held by a tenant's long requests."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.contracts.errors import TooManyError


class Slots:
    """Slots held per tenant in this process. For the event loop's thread only."""

    def __init__(self, limit: int, refusal: Callable[[int], TooManyError]) -> None:
        self._limit, self._refusal = limit, refusal
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, tenant: str) -> Iterator[None]:
        """Hold a slot until the block ends.

        Raises:
            TooManyError: All are held.
        """
        if self._held[tenant] >= self._limit:
            raise self._refusal(self._limit)
        self._held[tenant] += 1
        try:
            yield
        finally:
            self._held[tenant] -= 1
            if not self._held[tenant]:
                del self._held[tenant]

    def used(self, tenant: str) -> int:
        """Return the number of slots that a tenant holds."""
        return self._held.get(tenant, 0)
