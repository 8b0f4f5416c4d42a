"""Circuit breaker: leaves a receiver alone for a while after several failures in a row.

https://martinfowler.com/bliki/CircuitBreaker.html. Kept for each tenant and host: kept for a host
alone, one tenant could cut another off from a host that both use.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

Route = tuple[str, str]  # tenant, host and port

_MOST_DOUBLINGS = 4
_MOST_ROUTES = 10_000  # a tenant may invent hosts


@dataclass
class _Failures:
    number: int = 0
    rests_until: float = 0.0


class Breaker:
    """Remembers which routes have failed.

    Args:
        max_failures: Failures in a row after which a route rests.
        rest_seconds: First rest; it doubles with each failure after a rest, four times at most.
        clock: Monotonic time in seconds.
    """

    def __init__(
        self,
        max_failures: int,
        rest_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_failures, self._rest_seconds, self._clock = max_failures, rest_seconds, clock
        self._routes: dict[Route, _Failures] = {}
        self._lock = threading.Lock()

    def seconds_left(self, route: Route) -> float:
        """Return how long a route still rests; 0 if it may be tried."""
        failures = self._routes.get(route)
        return 0.0 if failures is None else max(0.0, failures.rests_until - self._clock())

    def is_on_trial(self, route: Route) -> bool:
        """Return whether only one request may be sent, because its rest has just ended."""
        failures = self._routes.get(route)
        return failures is not None and failures.number >= self._max_failures

    def record(self, route: Route, *, is_answered: bool) -> None:
        """Record the end of a request."""
        with self._lock:
            failures = self._routes.pop(route, _Failures())
            if is_answered or failures.rests_until > self._clock():  # the rest: it began before
                if not is_answered:
                    self._routes[route] = failures
                return
            failures.number += 1
            doublings = min(failures.number - self._max_failures, _MOST_DOUBLINGS)
            if doublings >= 0:
                failures.rests_until = self._clock() + self._rest_seconds * 2**doublings
            self._routes[route] = failures
            if len(self._routes) > _MOST_ROUTES:
                del self._routes[next(iter(self._routes))]
