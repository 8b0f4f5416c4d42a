"""Token bucket per tenant: a constant rate with a burst of one second's requests."""

import time
from collections.abc import Callable


class Rates:
    """Request rates of tenants at this process. For the event loop's thread only."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._clock = per_second, clock
        self._buckets: dict[
            str, tuple[float, float]
        ] = {}  # tokens left, and the time of that count

    def take(self, tenant: str) -> float:
        """Take a token and return 0, or return the seconds until the next token."""
        now, left = self._clock(), self.left(tenant)
        if left < 1:
            return (1 - left) / self._per_second
        self._buckets[tenant] = (left - 1, now)
        return 0.0

    def left(self, tenant: str) -> float:
        """Return how many requests the tenant may send now."""
        tokens, at = self._buckets.get(tenant, (self._per_second, self._clock()))
        return min(self._per_second, tokens + (self._clock() - at) * self._per_second)
