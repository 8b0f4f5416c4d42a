"""TTL cache that spares the database from repeated reads.

Concurrent requests for a missing value share one read. A value in constant use is refreshed in the
background before it expires, so no request waits. For one event loop.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from fastapi.concurrency import run_in_threadpool

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_REFRESH_AT = 0.5  # share of the lifetime after which a value is refreshed


class _Entry(NamedTuple, Generic[V]):
    asked_at: float  # start of the read: it may miss a change made during it
    value: V


class TtlCache(Generic[K, V]):
    """Values by key, none older than the lifetime. Errors are not cached."""

    def __init__(
        self, seconds: float, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start empty.

        Args:
            seconds: Lifetime of a value.
            most: Most values kept.
            clock: Clock in seconds, replaced in tests.
        """
        self._seconds, self._most, self._clock = seconds, most, clock
        self._known: dict[K, _Entry[V]] = {}
        self._reading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, read: Callable[[], V]) -> V:
        """Return the value of ``key``, calling ``read``, which may block, if it is missing."""
        known = self._known.get(key)
        if known is not None:
            age = self._clock() - known.asked_at
            if age < self._seconds:
                if age >= _REFRESH_AT * self._seconds and key not in self._reading:
                    self._start(key, read).add_done_callback(_retrieve_error)
                return known.value
        task = self._reading.get(key) or self._start(key, read)
        return await asyncio.shield(
            task
        )  # a client that hangs up must not cancel it for the others

    def forget(self, is_meant: Callable[[K], bool]) -> None:
        """Drop the values of some keys, including reads in progress."""
        for things in (self._known, self._reading):
            for key in [key for key in things if is_meant(key)]:
                del things[key]

    def _start(self, key: K, read: Callable[[], V]) -> asyncio.Task[V]:
        task = self._reading[key] = asyncio.create_task(self._read(key, read))
        return task

    async def _read(self, key: K, read: Callable[[], V]) -> V:
        asked_at, task = self._clock(), asyncio.current_task()
        try:
            value = await run_in_threadpool(read)
        except BaseException:
            if self._reading.get(key) is task:
                self._known.pop(key, None)  # the next request reads again and gets the error
            raise
        else:
            if self._reading.get(key) is task:
                if len(self._known) >= self._most:
                    self._known = {}
                self._known[key] = _Entry(asked_at, value)
            return value
        finally:
            if self._reading.get(key) is task:
                del self._reading[key]


def _retrieve_error(task: "asyncio.Task[V]") -> None:
    """Retrieve the error of a background refresh, or asyncio logs it."""
    if not task.cancelled():
        task.exception()
