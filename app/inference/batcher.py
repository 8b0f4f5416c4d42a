"""Batching of one model's requests: run at once when idle, accumulate when busy.

Pure asyncio on one event loop. The caller passes in the compute function, and nothing here blocks.
Items are counted on dimension 0. Requests share a batch if they have the same shapes, types and
requested outputs. Cancelled and expired requests leave the queue before they run. A run is stopped
once nobody waits for any of its requests.
"""

import asyncio
import math
import time
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, takewhile
from typing import NamedTuple

from app.contracts.errors import (
    AbandonedError,
    DeadlineError,
    Demand,
    OverloadedError,
    RestartingError,
    TooLargeError,
)
from app.inference.held import Inputs
from app.inference.runs import Runs
from app.serving.description import Arrays

Outputs = tuple[str, ...] | None
IsWanted = Callable[[], bool]
# Starts one batch, given whether anybody still waits for it. The future resolves to each request's
# outputs and the measured seconds.
Run = asyncio.Future[tuple[Sequence[Arrays], float]]
Compute = Callable[[Sequence[Inputs], Outputs, IsWanted], Run]
IsDisconnected = Callable[[], bool]

_SMOOTHING = 0.2
_SLOW_SECONDS = 1.0  # of one item


class StoppedError(Exception):
    """A run was stopped because it took too long or nobody waits for it."""


@dataclass(frozen=True)
class BatchLimits:
    """Limits on a batch and on the queue before it.

    Attributes:
        max_items: Most items in a batch; 1 disables batching.
        queue_items: Most items that wait. An empty queue accepts a request of any size.
        queue_bytes: Most bytes that wait.
    """

    max_items: int
    queue_items: int
    queue_bytes: int


class Computed(NamedTuple):
    """Outputs and timings of one request."""

    outputs: Arrays
    queue_seconds: float
    compute_seconds: float
    batch_size: int


@dataclass(eq=False)
class _Entry:
    arrays: Inputs
    outputs: Outputs
    kind: object
    num_items: int
    num_bytes: int
    rank: tuple[int, int]
    queued_at: float
    answer: "asyncio.Future[Computed]"
    timer: asyncio.TimerHandle | None = None
    is_disconnected: IsDisconnected | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether the client still waits for the answer."""
        if self.answer.done():
            return False
        return self.is_disconnected is None or not self.is_disconnected()


class _Pace:
    """Smoothed seconds per item from the end of one run to the end of the next."""

    def __init__(self) -> None:
        self.seconds = 0.0  # per item; 0 until a run has ended
        self._ended = 0.0

    def record(self, began: float, num_items: int) -> None:
        """Record a run that has just ended. The time includes the event loop's other work."""
        now = time.perf_counter()
        seconds = (now - max(began, self._ended)) / num_items
        self._ended = now
        known = self.seconds or seconds
        self.seconds = known + _SMOOTHING * (seconds - known)


class Batcher:
    """Bounded queue of one tenant's requests for one model.

    Attributes:
        tenant: The tenant.
    """

    def __init__(
        self,
        compute: Compute,
        limits: BatchLimits,
        runs: Runs,
        model: str = "",
        tenant: str = "",
        item_seconds: float | None = 0.0,
    ) -> None:
        """Start with an empty queue, on the running event loop.

        Args:
            compute: Starts one run.
            limits: Limits on a batch and on the queue.
            runs: Run slots shared by all models.
            model: Name of the model in a `Demand`.
            tenant: The tenant, for turns.
            item_seconds: Measured time of one item; None: unknown until a run has ended.
        """
        self._item_seconds = item_seconds
        self._compute, self.limits, self._runs, self._model = compute, limits, runs, model
        self.tenant = tenant
        self._num_running = 0
        self._drained: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._queue: list[_Entry] = []  # sorted by rank
        self._numbers = count()
        self._num_items = self._num_bytes = 0
        self._pace = _Pace()

    @property
    def num_waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def is_slow(self) -> bool:
        """Whether one item takes so long that others must not wait for it."""
        known = self._item_seconds
        if known is None:
            known = self._pace.seconds or math.inf
        return known > _SLOW_SECONDS

    async def drain(self) -> None:
        """Wait until nothing waits and nothing runs."""
        if self._queue or self._num_running:
            self._drained = self._drained or self._loop.create_future()
            await self._drained

    async def submit(
        self,
        arrays: Inputs,
        outputs: Outputs = None,
        *,
        priority: int = 0,
        deadline: float | None = None,
        is_disconnected: IsDisconnected | None = None,
    ) -> Computed:
        """Compute the outputs of one request.

        Args:
            arrays: Validated arrays by input name.
            outputs: Names of the outputs to return; None: all.
            priority: Higher runs first; equal priorities run in order of arrival.
            deadline: Time on the event loop's clock after which the answer is useless.
            is_disconnected: Tells whether the client hung up; called just before the run.

        Raises:
            OverloadedError: The queue is full.
            DeadlineError: The deadline passed in the queue, or the queue is too long to meet it.
            AbandonedError: The client hung up before the run.
        """
        entry = self._entry(arrays, outputs, priority)
        entry.is_disconnected = is_disconnected
        self._admit(entry, deadline)
        self._runs.ask(self)
        try:
            return await entry.answer
        finally:
            if entry.timer is not None:
                entry.timer.cancel()
            if entry.answer.cancelled() and entry in self._queue:
                self._remove(entry)

    def start(self) -> bool:
        """Start the next batch and return whether there was one. Called by `Runs`."""
        batch = self._take()
        if not batch:
            return False
        started, began = self._loop.time(), time.perf_counter()
        self._num_running += 1
        run = self._compute(
            [entry.arrays for entry in batch],
            batch[0].outputs,
            lambda: any(entry.is_wanted for entry in batch),
        )
        run.add_done_callback(partial(self._end, batch, started, began))
        return True

    def accepts(self, demand: Demand, num_others: int = 0) -> bool:
        """Return whether the queue would accept a request behind ``num_others`` like it."""
        if not self._queue and not num_others:
            return True  # of any size, as in `_admit`
        num_before = self._num_items + num_others * demand.num_items
        return self._pace.seconds * num_before <= demand.seconds and self._fits(
            (num_others + 1) * demand.num_items, (num_others + 1) * demand.num_bytes
        )

    def _entry(self, arrays: Inputs, outputs: Outputs, priority: int) -> _Entry:
        values = tuple(arrays.items())
        return _Entry(
            arrays,
            outputs,
            (outputs, *((name, type(a), a.dtype, a.shape[1:]) for name, a in values)),
            max((len(a) if a.ndim else 1 for _, a in values), default=1),
            sum(a.nbytes for _, a in values),
            (-priority, next(self._numbers)),
            self._loop.time(),
            self._loop.create_future(),
        )

    def _admit(self, entry: _Entry, deadline: float | None) -> None:
        if deadline is not None:
            self._refuse_late(entry, deadline)
        if self._queue and not self._fits(entry.num_items, entry.num_bytes):
            limits = self.limits
            raise OverloadedError(
                f"{self._num_items} items are queued for this model; the limit is "
                f"{limits.queue_items} items and {limits.queue_bytes} bytes",
                retry_after_seconds=max(1.0, math.ceil(self._pace.seconds * self._num_items)),
                demand=Demand(self._model, entry.num_items, entry.num_bytes),
            )
        if deadline is not None:
            entry.timer = self._loop.call_at(deadline, self._expire, entry)
        insort(self._queue, entry, key=lambda e: e.rank)
        self._num_items += entry.num_items
        self._num_bytes += entry.num_bytes

    def _fits(self, num_items: int, num_bytes: int) -> bool:
        limits = self.limits
        return (
            self._num_items + num_items <= limits.queue_items
            and self._num_bytes + num_bytes <= limits.queue_bytes
        )

    def _refuse_late(self, entry: _Entry, deadline: float) -> None:
        """Refuse a request that would expire in the queue and delay the others."""
        left = deadline - self._loop.time()
        if left <= 0:
            raise DeadlineError(f"the request's deadline passed {-left:.3f} s before it arrived")
        if self._pace.seconds * self._num_items <= left:
            return
        before = takewhile(lambda e: e.rank < entry.rank, self._queue)
        seconds = self._pace.seconds * sum(e.num_items for e in before)
        if seconds > left:
            is_usual = entry.rank[0] == 0
            demand = Demand(self._model, entry.num_items, entry.num_bytes, left)
            raise DeadlineError(
                f"the request's deadline is in {left:.3f} s, but requests before it take "
                f"{seconds:.3f} s",
                retry_after_seconds=max(1.0, math.ceil(seconds - left)),
                demand=demand if is_usual else None,
            )

    def _expire(self, entry: _Entry) -> None:
        """Answer a request at its deadline; a run that only it waits for is then stopped."""
        if entry.answer.done():
            return
        where = "while it was computed"
        if entry in self._queue:
            self._remove(entry)
            where = "in the queue"
        waited = self._loop.time() - entry.queued_at
        entry.answer.set_exception(
            DeadlineError(f"the request's deadline passed after {waited:.3f} s, {where}")
        )

    def _take(self) -> list[_Entry]:
        """Remove the first request and those that can share its batch from the queue."""
        queue, num_items = self._queue, 0
        batch: list[_Entry] = []
        rest: list[_Entry] = []
        for place, entry in enumerate(queue):
            if entry.answer.done():  # cancelled a moment ago
                self._forget(entry)
            elif entry.is_disconnected is not None and entry.is_disconnected():
                self._forget(entry)
                entry.answer.set_exception(AbandonedError())
            elif not batch:
                batch.append(entry)
                num_items = entry.num_items
            elif num_items >= self.limits.max_items:
                rest += queue[place:]
                break
            elif (
                entry.kind == batch[0].kind and num_items + entry.num_items <= self.limits.max_items
            ):
                batch.append(entry)
                num_items += entry.num_items
            else:
                rest.append(entry)
        self._queue = rest
        for entry in batch:
            self._forget(entry)
        return batch

    def _end(
        self,
        batch: list[_Entry],
        started: float,
        began: float,
        run: Run,
    ) -> None:
        self._num_running -= 1
        self._pace.record(began, sum(entry.num_items for entry in batch))
        error = asyncio.CancelledError() if run.cancelled() else run.exception()
        if error is None:
            self._answer(batch, started, *run.result())
        elif len(batch) == 1 or isinstance(error, RestartingError):
            self._fail(batch, error)
        else:
            self._retry_alone(batch)
        self._runs.end(self.tenant)
        is_idle = not self._queue and not self._num_running
        if is_idle and self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _fail(self, batch: list[_Entry], error: BaseException) -> None:
        for entry in batch:
            if entry.answer.done():
                continue
            if isinstance(error, StoppedError):
                error = TooLargeError(str(error)) if entry.is_wanted else AbandonedError()
            entry.answer.set_exception(error)

    def _answer(
        self, batch: list[_Entry], started: float, outputs: Sequence[Arrays], seconds: float
    ) -> None:
        size = sum(entry.num_items for entry in batch)
        for entry, found in zip(batch, outputs, strict=True):
            if not entry.answer.done():
                waited = started - entry.queued_at
                entry.answer.set_result(Computed(found, waited, seconds, size))

    def _retry_alone(self, batch: list[_Entry]) -> None:
        """Queue each request again as its own batch, so that one failure affects no other."""
        for entry in batch:
            entry.kind = object()
            insort(self._queue, entry, key=lambda e: e.rank)
            self._num_items += entry.num_items
            self._num_bytes += entry.num_bytes
        self._runs.ask(self)

    def _remove(self, entry: _Entry) -> None:
        self._queue.remove(entry)
        self._forget(entry)

    def _forget(self, entry: _Entry) -> None:
        self._num_items -= entry.num_items
        self._num_bytes -= entry.num_bytes
