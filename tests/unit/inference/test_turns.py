"""Turns at loading and decoding: a tenant that asks for much waits for itself."""

import asyncio

from app.inference.turns import Turns


def test_a_tenant_has_one_place_in_the_queue_however_much_it_asks_for() -> None:
    async def test() -> None:
        turns, done = Turns(1), []

        async def work(tenant: str) -> None:
            async with turns.turn(tenant):
                await asyncio.sleep(0)
                done.append(tenant)

        async with asyncio.TaskGroup() as group:
            for tenant in ("a", "a", "a", "a", "b"):
                group.create_task(work(tenant))
        assert done.index("b") <= 1
        assert sorted(done) == ["a", "a", "a", "a", "b"]
        assert not turns._tenants, "nobody is remembered"

    asyncio.run(test())


def test_a_cancelled_turn_is_given_to_the_next() -> None:
    async def test() -> None:
        turns = Turns(1)
        entered = asyncio.Event()

        async def hold() -> None:
            async with turns.turn("a"):
                entered.set()
                await asyncio.sleep(60)

        holder = asyncio.create_task(hold())
        await entered.wait()
        waiter = asyncio.create_task(hold())
        await asyncio.sleep(0)
        for task in (waiter, holder):
            task.cancel()
        await asyncio.gather(waiter, holder, return_exceptions=True)
        async with asyncio.timeout(1), turns.turn("a"):
            pass
        assert not turns._tenants

    asyncio.run(test())
