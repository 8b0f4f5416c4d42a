"""Limit on concurrent runs, shared by the batchers of all models and tenants."""

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

_ACTIVE_SECONDS = 5.0
_MOST_TENANTS = 1000


class Starter(Protocol):
    """Interface of a batcher to `Runs`."""

    @property
    def tenant(self) -> str:
        """Tenant whose requests it queues."""
        ...

    @property
    def num_waiting(self) -> int:
        """Requests in its queue."""
        ...

    @property
    def is_slow(self) -> bool:
        """Whether one of its runs may hold a thread for long."""
        ...

    def start(self) -> bool:
        """Start a run; return whether there was anything to run."""
        ...


class Runs:
    """Limit on concurrent runs.

    Tenants take turns, and so do the models of one tenant. While several tenants are active, none
    may hold all the runs: the others would wait for the longest of them. Slow runs never hold all,
    for the next tenant would wait as long.
    """

    def __init__(
        self, number: int, ahead: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with no runs.

        Args:
            number: Runs computed at once.
            ahead: Extra runs sent to the process. They begin as soon as another run ends, even if
                the event loop is busy for longer than a run takes.
            clock: Monotonic time in seconds.
        """
        self.number, self._most, self._clock = number, number + ahead, clock
        self._num_runs = 0
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[Starter]] = {}  # by tenant, in the order of their turns
        self._asked_at: dict[str, float] = {}

    @property
    def are_idle(self) -> bool:
        """Whether a run could start now and leave a thread free if there are several."""
        return self._num_runs <= max(0, self.number - 2)

    def ask(self, batcher: Starter) -> None:
        """Let a batcher start a run now or when its turn comes."""
        self._note(batcher.tenant)
        if self._num_runs < self._most and self._may_hold(batcher):
            self._start(batcher)
            return
        queue = self._waiting.setdefault(batcher.tenant, deque())
        if batcher not in queue:
            queue.append(batcher)

    def end(self, tenant: str = "") -> None:
        """Release a run of a tenant to the next waiting batcher that may have it."""
        self._num_runs -= 1
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]
        if self._waiting:
            self._start_waiting()

    def _start_waiting(self) -> None:
        for tenant in list(self._waiting):
            if self._num_runs >= self._most:
                return
            if not self._may_hold(self._waiting[tenant][0]):
                continue
            queue = self._waiting.pop(tenant)
            batcher = queue.popleft()
            if queue:
                self._waiting[tenant] = queue  # at the end: the next turn is another tenant's
            self._start(batcher)

    def _start(self, batcher: Starter) -> None:
        self._num_runs += 1
        self._held[batcher.tenant] += 1
        if not batcher.start():
            self.end(batcher.tenant)
        elif batcher.num_waiting:
            self.ask(batcher)

    def _may_hold(self, batcher: Starter) -> bool:
        """Return whether a batcher's tenant may hold one more run."""
        tenant = batcher.tenant
        if self._held[tenant] < max(1, self.number - 1):
            return True
        # Who waits is active, however long ago it asked.
        if batcher.is_slow or any(other != tenant for other in self._waiting):
            return False
        other = next((other for other in reversed(self._asked_at) if other != tenant), None)
        return other is None or self._asked_at[other] < self._clock() - _ACTIVE_SECONDS

    def _note(self, tenant: str) -> None:
        """Remember that a tenant is active; the least recently active are forgotten."""
        self._asked_at.pop(tenant, None)
        self._asked_at[tenant] = self._clock()
        if len(self._asked_at) > _MOST_TENANTS:
            del self._asked_at[next(iter(self._asked_at))]
