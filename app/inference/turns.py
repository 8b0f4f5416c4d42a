"""Turns by tenant at work that the serving process does one at a time: loading, decoding."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Limit on concurrent work; one tenant has at most one place in its queue.

    A tenant that asks for a hundred things at once waits for itself, and not the others for it.
    """

    def __init__(self, number: int) -> None:
        self._places = asyncio.Semaphore(number)
        self._tenants: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a turn of the tenant, and hold it."""
        lock, number = self._tenants.get(tenant, (asyncio.Lock(), 0))
        self._tenants[tenant] = lock, number + 1
        try:
            async with lock, self._places:
                yield
        finally:
            lock, number = self._tenants.pop(tenant)
            if number > 1:
                self._tenants[tenant] = lock, number - 1
