"""How many requests start in one turn of the event loop."""

import asyncio

from app.server.turns import Turns

A_TURN = 32


async def next_turn() -> None:
    await asyncio.sleep(0)


def test_what_comes_together_is_begun_in_order_over_several_turns() -> None:
    async def begin() -> None:
        turns, begun = Turns(), list[int]()
        for number in range(80):
            turns.begin(lambda number=number: begun.append(number))  # type: ignore[misc]
        seen = [len(begun)]
        assert turns.num_begun == 80
        for _ in range(4):
            await next_turn()
            seen.append(len(begun))
        assert seen == [32, 64, 80, 80, 80]
        assert begun == list(range(80))
        assert turns.num_begun == 0

    asyncio.run(begin())


def test_later_requests_do_not_overtake_earlier_ones() -> None:
    async def begin() -> None:
        turns, begun = Turns(), list[str]()
        for number in range(A_TURN + 1):
            turns.begin(lambda number=number: begun.append(str(number)))  # type: ignore[misc]
        await next_turn()
        turns.begin(lambda: begun.append("late"))
        assert begun[-2:] == [str(A_TURN), "late"]

    asyncio.run(begin())


def test_several_requests_start_in_each_turn() -> None:
    async def begin() -> None:
        turns, begun = Turns(), list[int]()
        for number in range(5):
            turns.begin(lambda number=number: begun.append(number))  # type: ignore[misc]
            assert begun[-1] == number
            assert turns.num_begun == 1
            await next_turn()
            assert turns.num_begun == 0

    asyncio.run(begin())
