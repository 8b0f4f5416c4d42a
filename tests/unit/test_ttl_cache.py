import asyncio
import threading
from collections.abc import Callable

import pytest

from app.ttl_cache import TtlCache


class Source:
    """A source that counts its reads, and waits or fails when told to."""

    def __init__(self) -> None:
        self.value, self.num_reads = "old", 0
        self.error: Exception | None = None
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self) -> str:
        self.num_reads += 1
        assert self.may_end.wait(10)
        if self.error is not None:
            raise self.error
        return self.value


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError


def test_concurrent_requests_share_one_query() -> None:
    async def ask() -> None:
        source, cache = Source(), TtlCache[str, str](1.0)
        source.may_end.clear()
        asking = [asyncio.create_task(cache.get("key", source)) for _ in range(50)]
        await until(lambda: source.num_reads > 0)
        asking.pop().cancel()  # who hangs up takes it from nobody
        source.may_end.set()
        assert set(await asyncio.gather(*asking)) == {"old"}
        assert source.num_reads == 1

    asyncio.run(ask())


def test_popular_values_are_refreshed_in_the_background() -> None:
    async def ask() -> None:
        now = 0.0
        source, cache = Source(), TtlCache[str, str](1.0, clock=lambda: now)
        await cache.get("key", source)
        source.value = "new"
        now = 0.4
        assert await cache.get("key", source) == "old"
        assert source.num_reads == 1, "young enough"
        now = 0.6
        source.may_end.clear()
        for _ in range(3):
            assert await cache.get("key", source) == "old", "nobody waits for the reading"
        await until(lambda: source.num_reads == 2)
        source.may_end.set()
        await until(lambda: not cache._reading)
        assert await cache.get("key", source) == "new"
        now = 1.5  # of the second reading's life 0.9 is over
        assert await cache.get("key", source) == "new"

    asyncio.run(ask())


def test_expired_values_are_not_returned() -> None:
    async def ask() -> None:
        now = 0.0
        source, cache = Source(), TtlCache[str, str](1.0, clock=lambda: now)
        await cache.get("key", source)
        source.value = "new"
        now = 1.0
        assert await cache.get("key", source) == "new"

    asyncio.run(ask())


def test_an_error_reaches_waiting_requests_and_is_not_cached() -> None:
    async def ask() -> None:
        now = 0.0
        source, cache = Source(), TtlCache[str, str](1.0, clock=lambda: now)
        source.error = OSError("away")
        with pytest.raises(OSError, match="away"):
            await cache.get("key", source)
        source.error = None
        assert await cache.get("key", source) == "old"
        now, source.error = 0.6, OSError("away again")
        assert await cache.get("key", source) == "old"
        await until(lambda: source.num_reads == 3)
        await until(lambda: not cache._reading)
        with pytest.raises(OSError, match="away again"):  # beside the requests it failed: ask anew
            await cache.get("key", source)

    asyncio.run(ask())


def test_what_is_forgotten_while_it_is_read_is_read_again() -> None:
    async def ask() -> None:
        source, cache = Source(), TtlCache[str, str](1.0)
        source.may_end.clear()
        first = asyncio.create_task(cache.get("key", source))
        await until(lambda: source.num_reads == 1)
        cache.forget(lambda key: key == "key")
        source.value = "new"
        source.may_end.set()
        await first
        await cache.get("key", source)
        assert source.num_reads == 2

    asyncio.run(ask())


def test_memory_is_bounded() -> None:
    async def ask() -> None:
        source, cache = Source(), TtlCache[int, str](1.0, most=3)
        for key in range(10):
            await cache.get(key, source)
            assert len(cache._known) <= 3

    asyncio.run(ask())
