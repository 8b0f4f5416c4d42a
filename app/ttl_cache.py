"""A cache of values that were read at most some seconds ago, so that requests spare the database.

A value that is missing is read once, and every request that needs it waits for that one reading. A
value in constant use is read again beside the requests before it expires, so that nobody waits.
For one event loop.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from fastapi.concurrency import run_in_threadpool

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_REFRESH_AT = 0.5  # the share of its lifetime after which a value is read again


class _Entry(NamedTuple, Generic[V]):
    asked_at: float  # when the reading began: a change during it may be missing
    value: V


class TtlCache(Generic[K, V]):
    """Values by key, none older than the lifetime. Errors are not remembered."""

    def __init__(
        self, seconds: float, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start empty.

        Args:
            seconds: The lifetime of a value.
            most: Values that are kept at once.
            clock: Seconds, for tests.
        """
        self._seconds, self._most, self._clock = seconds, most, clock
        self._known: dict[K, _Entry[V]] = {}
        self._reading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, read: Callable[[], V]) -> V:
        """Return the value of ``key``, or what ``read``, which may block, returns for it."""
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
        """Drop the values of some keys, those that are being read included."""
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
                self._known.pop(key, None)  # the next request reads, and gets the error itself
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
    """Retrieve the error of a refresh that nobody waits for, or asyncio logs it."""
    if not task.cancelled():
        task.exception()
