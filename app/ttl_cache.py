"""What was read a moment ago, so that requests need not ask the database each time.

Whoever needs a thing that is not there reads it, and others wait for that one reading. A thing that
is asked for all the time is read anew, beside the requests, before it is too old: nobody waits.
For one event loop.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from fastapi.concurrency import run_in_threadpool

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_RENEWED = 0.5  # of its life: then it is read anew


class _Known(NamedTuple, Generic[V]):
    asked_at: float  # before the reading: what changed during it may be missing
    value: V


class Fresh(Generic[K, V]):
    """Things by key, none of them older than some seconds. What raised is not remembered."""

    def __init__(
        self, seconds: float, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember nothing yet.

        Args:
            seconds: How old a thing may be that is given out.
            most: How many are remembered at once.
            clock: Seconds, for tests.
        """
        self._seconds, self._most, self._clock = seconds, most, clock
        self._known: dict[K, _Known[V]] = {}
        self._reading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, read: Callable[[], V]) -> V:
        """Return what ``read``, which may block, says of ``key`` or said a moment ago."""
        known = self._known.get(key)
        if known is not None:
            age = self._clock() - known.asked_at
            if age < self._seconds:
                if age >= _RENEWED * self._seconds and key not in self._reading:
                    self._start(key, read).add_done_callback(_see_error)
                return known.value
        task = self._reading.get(key) or self._start(key, read)
        return await asyncio.shield(task)  # one that hangs up must not take it from the others

    def forget(self, is_meant: Callable[[K], bool]) -> None:
        """Read what is meant anew from here on, also instead of what is being read now."""
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
                self._known.pop(key, None)  # the next one asks, and hears the error itself
            raise
        else:
            if self._reading.get(key) is task:
                if len(self._known) >= self._most:
                    self._known = {}
                self._known[key] = _Known(asked_at, value)
            return value
        finally:
            if self._reading.get(key) is task:
                del self._reading[key]


def _see_error(task: "asyncio.Task[V]") -> None:
    """Take note of what went wrong beside the requests; nobody waits for it."""
    if not task.cancelled():
        task.exception()
