"""The batcher with a runner that the test completes by hand: no sleeps, no computing."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from app.contracts.errors import (
    AbandonedError,
    DeadlineError,
    Demand,
    InvalidInputError,
    OverloadedError,
    RestartingError,
    TooLargeError,
)
from app.http.problems import problem
from app.inference.batcher import (
    Batcher,
    BatchLimits,
    Computed,
    IsWanted,
    Outputs,
    Run,
    StoppedError,
)
from app.inference.runs import Runs
from app.serving.description import Arrays

LIMITS = BatchLimits(max_items=4, queue_items=100, queue_bytes=1_000_000)
MODEL = "0" * 64
Answer = asyncio.Task[Computed]


@dataclass
class Runner:
    """A runner that records started batches and doubles their numbers on `finish`."""

    started: list[tuple[Sequence[Arrays], Outputs]] = field(default_factory=list)
    running: list[Run] = field(default_factory=list)

    wanted: list[IsWanted] = field(default_factory=list)

    def __call__(self, requests: Sequence[Arrays], outputs: Outputs, is_wanted: IsWanted) -> Run:
        self.wanted.append(is_wanted)
        self.started.append((requests, outputs))
        self.running.append(asyncio.get_running_loop().create_future())
        return self.running[-1]

    @property
    def values(self) -> list[list[int]]:
        """The first number of every request, by batch."""
        return [[int(r["x"].flat[0]) for r in requests] for requests, _ in self.started]

    async def finish(self, error: Exception | None = None) -> None:
        """End the oldest unfinished run."""
        number = next(i for i, run in enumerate(self.running) if not run.done())
        if error is not None:
            self.running[number].set_exception(error)
        else:
            doubled = [{"y": 2 * r["x"]} for r in self.started[number][0]]
            self.running[number].set_result((doubled, 0.5))
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def x(value: int, items: int = 1, width: int = 2, dtype: str = "float32") -> Arrays:
    return {"x": np.full((items, width), value, dtype)}


def on_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def make(limits: BatchLimits = LIMITS, num_runs: int = 1, ahead: int = 0) -> tuple[Batcher, Runner]:
    runner = Runner()
    return Batcher(runner, limits, Runs(num_runs, ahead), MODEL), runner


async def ask(batcher: Batcher, *requests: Arrays, **options: Any) -> list[Answer]:
    tasks = [asyncio.create_task(batcher.submit(request, **options)) for request in requests]
    await settle()
    return tasks


@on_loop
async def test_an_idle_model_runs_at_once_and_a_busy_one_collects_a_batch() -> None:
    batcher, runner = make()
    tasks = await ask(batcher, x(1), x(2), x(3))
    assert runner.values == [[1]]
    await runner.finish()
    assert runner.values == [[1], [2, 3]]
    await runner.finish()
    answers = [await task for task in tasks]
    assert [float(a.outputs["y"][0, 0]) for a in answers] == [2, 4, 6]
    assert [a.batch_size for a in answers] == [1, 2, 2]
    assert answers[2].compute_seconds == 0.5


@on_loop
async def test_items_are_counted_and_not_requests() -> None:
    batcher, runner = make()
    await ask(batcher, x(0), x(1, items=3), x(2, items=2), x(3, items=1), x(4, items=9))
    for _ in range(3):
        await runner.finish()
    # 3 and 1 items fill a batch of 4; two items wait for the next; nine go by themselves.
    assert runner.values == [[0], [1, 3], [2], [4]]


@on_loop
async def test_shapes_types_and_wanted_outputs_never_mix() -> None:
    batcher, runner = make()
    await ask(batcher, x(0))
    await ask(batcher, x(1), x(2, width=3), x(3, dtype="float64"))
    await ask(batcher, x(4), outputs=("y",))
    await ask(batcher, x(5))
    for _ in range(4):
        await runner.finish()
    assert runner.values == [[0], [1, 5], [2], [3], [4]]


@on_loop
async def test_a_model_that_must_not_be_batched_runs_one_request_at_a_time() -> None:
    batcher, runner = make(BatchLimits(1, 100, 1_000_000))
    await ask(batcher, x(0), x(1), x(2, items=5))
    await runner.finish()
    await runner.finish()
    assert runner.values == [[0], [1], [2]]


@on_loop
async def test_higher_priorities_go_first_and_equal_ones_keep_their_order() -> None:
    batcher, runner = make(BatchLimits(1, 100, 1_000_000))
    await ask(batcher, x(0), x(1), x(2))
    await ask(batcher, x(3), x(4), priority=1)
    for _ in range(4):
        await runner.finish()
    assert runner.values == [[0], [3], [4], [1], [2]]


@pytest.mark.parametrize("limits", [BatchLimits(4, 3, 1_000_000), BatchLimits(4, 100, 24)])
def test_a_full_queue_refuses_with_the_number_and_the_limit(limits: BatchLimits) -> None:
    async def test() -> None:
        batcher, runner = make(limits)
        await ask(batcher, x(0), x(1), x(2), x(3))
        with pytest.raises(OverloadedError, match="3 items are queued"):
            await batcher.submit(x(4))
        await runner.finish()
        await ask(batcher, x(5, items=50))  # an empty queue takes a large one
        assert batcher.num_waiting == 1

    asyncio.run(test())


def test_a_refusal_has_a_retry_after() -> None:
    error = OverloadedError("full", retry_after_seconds=2.5)
    response = problem({"path": "/infer"}, error)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "3")


@on_loop
async def test_a_request_whose_client_left_is_not_computed() -> None:
    batcher, runner = make()
    tasks = await ask(batcher, x(0), x(1), x(2))
    tasks[1].cancel()
    await settle()
    assert batcher.num_waiting == 1
    await runner.finish()
    assert runner.values == [[0], [2]]


@on_loop
async def test_clients_that_disconnected_while_waiting_are_skipped() -> None:
    batcher, runner = make()
    gone: set[int] = set()
    await ask(batcher, x(0))
    tasks = [
        (await ask(batcher, x(n), is_disconnected=lambda n=n: n in gone))[0] for n in (1, 2, 3)
    ]
    gone |= {1, 3}
    await runner.finish()
    assert runner.values == [[0], [2]]
    for number in (0, 2):
        with pytest.raises(AbandonedError):
            await tasks[number]


@on_loop
async def test_a_request_whose_deadline_passes_is_answered_and_not_computed() -> None:
    batcher, runner = make()
    now = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineError, match="before it arrived"):
        await batcher.submit(x(9), deadline=now - 1)
    await ask(batcher, x(0))
    with pytest.raises(DeadlineError, match="in the queue"):  # while the first still runs
        await batcher.submit(x(1), deadline=now + 0.01)
    await ask(batcher, x(2), deadline=now + 1000)
    await runner.finish()
    assert runner.values == [[0], [2]]


@on_loop
async def test_a_failing_request_does_not_fail_its_batch() -> None:
    batcher, runner = make()
    tasks = await ask(batcher, x(0), x(1), x(2))
    await runner.finish()
    await runner.finish(InvalidInputError("index out of range"))
    assert runner.values == [[0], [1, 2], [1]]
    await runner.finish(InvalidInputError("index out of range"))
    await runner.finish()
    with pytest.raises(InvalidInputError):
        await tasks[1]
    assert float((await tasks[2]).outputs["y"][0, 0]) == 4


@on_loop
async def test_models_share_the_runs_in_turns() -> None:
    runs, runner = Runs(2), Runner()
    first, second = (Batcher(runner, BatchLimits(1, 100, 1_000_000), runs) for _ in range(2))
    await ask(first, x(1), x(2), x(3), x(4))
    await ask(second, x(10), x(20))
    assert runner.values == [[1], [2]]  # two at once
    for _ in range(6):
        await runner.finish()
    assert runner.values == [[1], [2], [3], [10], [4], [20]]


@on_loop
async def test_a_batch_is_prepared_before_a_run_ends() -> None:
    batcher, runner = make(BatchLimits(2, 100, 1_000_000), num_runs=1, ahead=1)
    await ask(batcher, x(1), x(2), x(3), x(4), x(5))
    assert runner.values == [[1], [2]]  # the second waits for the thread, not for the loop
    await runner.finish()
    assert runner.values == [[1], [2], [3, 4]]
    for _ in range(3):
        await runner.finish()
    assert runner.values == [[1], [2], [3, 4], [5]]
    assert batcher.num_waiting == 0


@pytest.mark.parametrize(("number", "ahead"), [(1, 0), (1, 1), (2, 0), (2, 1), (4, 1)])
def test_a_prepared_batch_takes_a_run_too(number: int, ahead: int) -> None:
    async def test() -> None:
        runs, runner = Runs(number, ahead), Runner()
        batcher = Batcher(runner, BatchLimits(1, 100, 1_000_000), runs)
        for num_runs in range(number + ahead):
            assert runs.are_idle == (num_runs <= max(0, number - 2))
            await ask(batcher, x(num_runs))
            assert batcher.num_waiting == 0
        await ask(batcher, x(9))
        assert batcher.num_waiting == 1
        for _ in range(number + ahead + 1):
            await runner.finish()
        assert runs.are_idle

    asyncio.run(test())


@on_loop
async def test_a_run_ends_whatever_happens() -> None:
    batcher, runner = make()
    for number in range(20):
        tasks = await ask(batcher, x(number), x(number))
        tasks[number % 2].cancel()
        await settle()
        await runner.finish(InvalidInputError("no") if number % 3 == 0 else None)
        while any(not run.done() for run in runner.running):
            await runner.finish()
        assert batcher.num_waiting == 0
        for task in tasks:
            task.exception() if not task.cancelled() else None


@on_loop
async def test_a_run_is_wanted_until_every_client_has_left_or_expired() -> None:
    batcher, runner = make()
    gone: set[int] = set()
    now = asyncio.get_running_loop().time()
    await ask(batcher, x(0))
    first = (await ask(batcher, x(1), is_disconnected=lambda: 1 in gone))[0]
    second = (await ask(batcher, x(2), deadline=now + 0.05))[0]
    await runner.finish()
    assert runner.values == [[0], [1, 2]]
    gone.add(1)
    assert runner.wanted[1](), "the second still waits"
    with pytest.raises(DeadlineError, match="while it was computed"):
        await second
    assert not runner.wanted[1]()
    await runner.finish(StoppedError("stopped"))
    with pytest.raises(AbandonedError):
        await first


@on_loop
async def test_a_stopped_run_of_a_waiting_client_says_why() -> None:
    batcher, runner = make()
    (task,) = await ask(batcher, x(0))
    await runner.finish(StoppedError("computes for longer than 1 s"))
    with pytest.raises(TooLargeError, match="longer than 1 s"):
        await task


@on_loop
async def test_the_end_of_the_process_fails_a_batch_and_does_not_repeat_it() -> None:
    batcher, runner = make()
    tasks = await ask(batcher, x(0), x(1), x(2))
    await runner.finish()
    await runner.finish(RestartingError("ended"))
    assert runner.values == [[0], [1, 2]]
    for task in tasks[1:]:
        with pytest.raises(RestartingError):
            await task


@on_loop
async def test_tenants_take_turns_and_not_their_models() -> None:
    runs, runner = Runs(1), Runner()
    limits = BatchLimits(1, 100, 1_000_000)
    many = [Batcher(runner, limits, runs, tenant="a") for _ in range(3)]
    other = Batcher(runner, limits, runs, tenant="b")
    for number, batcher in enumerate(many):
        await ask(batcher, x(number), x(number + 10))
    await ask(other, x(50), x(60))
    for _ in range(8):
        await runner.finish()
    assert runner.values == [[0], [10], [50], [1], [60], [2], [11], [12]]


@on_loop
async def test_while_another_tenant_is_active_none_holds_all_runs() -> None:
    now = 0.0
    runs, runner = Runs(2, 1, clock=lambda: now), Runner()
    limits = BatchLimits(1, 100, 1_000_000)
    hog, other = (Batcher(runner, limits, runs, tenant=name) for name in ("a", "b"))
    await ask(other, x(50))
    await runner.finish()
    await ask(hog, x(1), x(2), x(3))
    assert runner.values == [[50], [1]], "a run stays free for the other"
    await ask(other, x(60))
    assert runner.values == [[50], [1], [60]]
    await runner.finish()
    assert runner.values == [[50], [1], [60], [2]]
    await runner.finish()
    now = 60.0
    await runner.finish()
    assert runner.values[-1] == [3]
    await runner.finish()
    await ask(hog, x(4), x(5), x(6))
    assert runner.values[-3:] == [[4], [5], [6]], "alone it may hold all"


@on_loop
async def test_slow_runs_never_hold_every_thread() -> None:
    now = 0.0
    runs, runner = Runs(2, 1, clock=lambda: now), Runner()
    limits = BatchLimits(1, 100, 1_000_000)
    hog = Batcher(runner, limits, runs, tenant="a", item_seconds=7.0)
    other = Batcher(runner, limits, runs, tenant="b")
    await ask(hog, x(1), x(2), x(3))
    assert runner.values == [[1]], "the next tenant would wait for a whole run"
    await ask(other, x(50))
    assert runner.values == [[1], [50]]
    now = 60.0
    await runner.finish()
    assert runner.values == [[1], [50], [2]]
    unknown = Batcher(runner, limits, Runs(2, 1), tenant="a", item_seconds=None)
    assert unknown.is_slow


@on_loop
async def test_a_tenant_that_waits_is_active_however_long_it_waits() -> None:
    now = 0.0
    runs, runner = Runs(2, 1, clock=lambda: now), Runner()
    limits = BatchLimits(1, 100, 1_000_000)
    hog, other = (Batcher(runner, limits, runs, tenant=name) for name in ("a", "b"))
    await ask(hog, x(1), x(2), x(3), x(4))
    await ask(other, x(50))
    now = 60.0
    await runner.finish()
    assert runner.values == [[1], [2], [3], [50]]


def accepts(batcher: Batcher, error: OverloadedError, num_others: int = 0) -> bool:
    assert error.demand is not None
    return batcher.accepts(error.demand, num_others)


@on_loop
async def test_a_queue_knows_whether_it_accepts_a_refused_request_now() -> None:
    batcher, runner = make(BatchLimits(1, 4, 1_000_000))
    await ask(batcher, x(0), *(x(number, items=2) for number in (1, 2)))
    with pytest.raises(OverloadedError) as caught:
        await batcher.submit(x(3, items=2))
    assert caught.value.demand == Demand(MODEL, num_items=2, num_bytes=16)
    assert not accepts(batcher, caught.value)
    await runner.finish()
    assert accepts(batcher, caught.value)
    assert not accepts(batcher, caught.value, num_others=1), "each of them has two items"
    await runner.finish()
    assert accepts(batcher, caught.value, num_others=1)
    await runner.finish()


@on_loop
async def test_an_oversized_request_is_accepted_when_the_queue_is_empty() -> None:
    batcher, runner = make(BatchLimits(1, 4, 1_000_000))
    await ask(batcher, x(0), x(1))
    with pytest.raises(OverloadedError) as caught:
        await batcher.submit(x(2, items=9))
    assert not accepts(batcher, caught.value)
    await runner.finish()
    assert accepts(batcher, caught.value)
    assert not accepts(batcher, caught.value, num_others=1)
    (answer,) = await ask(batcher, x(2, items=9))
    await runner.finish()
    await runner.finish()
    assert (await answer).batch_size == 9


@on_loop
async def test_a_request_that_would_miss_its_deadline_is_refused_on_arrival() -> None:
    batcher, runner = make(BatchLimits(1, 100, 1_000_000))
    clock = asyncio.get_running_loop().time
    await ask(batcher, *(x(number) for number in range(12)))
    await ask(batcher, x(50), deadline=clock() + 0.1)  # nobody knows yet how long it takes
    for _ in range(6):  # one every twentieth of a second
        await asyncio.sleep(0.05)
        await runner.finish()
    assert batcher.num_waiting == 5
    with pytest.raises(DeadlineError, match="requests before it take") as caught:
        await batcher.submit(x(51), deadline=clock() + 0.1)
    assert 1 <= caught.value.retry_after_seconds <= 2
    assert not accepts(batcher, caught.value)
    assert batcher.num_waiting == 5
    (patient,) = await ask(batcher, x(52), deadline=clock() + 60)
    (first,) = await ask(batcher, x(53), priority=1, deadline=clock() + 0.1)
    await runner.finish()
    assert runner.values[-1] == [53]
    for _ in range(6):
        await runner.finish()
    assert accepts(batcher, caught.value), "now nobody is before it"
    await runner.finish()
    assert (await first).batch_size == (await patient).batch_size == 1


@on_loop
async def test_one_slow_run_is_forgotten_though_never_two_wait() -> None:
    batcher, runner = make(BatchLimits(1, 100, 1_000_000))
    clock = asyncio.get_running_loop().time
    await ask(batcher, x(0), x(1))
    await asyncio.sleep(0.5)  # as if the machine had been elsewhere
    await runner.finish()
    await ask(batcher, x(2), deadline=clock() + 0.1)
    with pytest.raises(DeadlineError):
        await batcher.submit(x(3), deadline=clock() + 0.1)
    for number in range(12):
        await runner.finish()
        await ask(batcher, x(number))
    (answer,) = await ask(batcher, x(4), deadline=clock() + 0.1)
    for _ in range(3):
        await runner.finish()
    assert (await answer).batch_size == 1


@on_loop
async def test_high_priority_requests_are_not_shed_for_those_behind() -> None:
    batcher, runner = make(BatchLimits(1, 100, 1_000_000))
    clock = asyncio.get_running_loop().time
    await ask(batcher, *(x(number) for number in range(8)), priority=1)
    for _ in range(4):
        await asyncio.sleep(0.05)
        await runner.finish()
    with pytest.raises(DeadlineError) as caught:
        await batcher.submit(x(50), priority=1, deadline=clock() + 0.05)
    assert caught.value.demand is None
    for _ in range(4):
        await runner.finish()
