"""Requests for one model, gathered into batches: idle → run at once, busy → accumulate.

Pure asyncio: what computes is handed in, nothing here blocks, everything runs on one event loop.
Items are counted on dimension 0. Only requests whose shapes, types and wanted outputs are the same
share a batch. Cancelled and expired requests leave the queue before they run.
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

from app.contracts.errors import AbandonedError, DeadlineError, Demand, OverloadedError
from app.inference.runs import Runs
from app.inference.tensors import Arrays

Outputs = tuple[str, ...] | None
# Starts a run of one batch, given the seconds that it will likely take (0: not known); the future
# gives each request's outputs, and the seconds that it took.
Run = asyncio.Future[tuple[Sequence[Arrays], float]]
Compute = Callable[[Sequence[Arrays], Outputs, float], Run]
IsDisconnected = Callable[[], bool]

_SMOOTHING = 0.2


@dataclass(frozen=True)
class BatchLimits:
    """What a batch and the queue before it may hold.

    Attributes:
        max_items: Of a batch; 1: nothing is ever batched.
        queue_items: Waiting. A request is taken into an empty queue whatever its size.
        queue_bytes: Waiting.
    """

    max_items: int
    queue_items: int
    queue_bytes: int


class Computed(NamedTuple):
    """One request's part of a batch."""

    outputs: Arrays
    queue_seconds: float
    compute_seconds: float
    batch_size: int


@dataclass(eq=False)
class _Entry:
    arrays: Arrays
    outputs: Outputs
    kind: object
    num_items: int
    num_bytes: int
    rank: tuple[int, int]
    queued_at: float
    answer: "asyncio.Future[Computed]"
    timer: asyncio.TimerHandle | None = None
    is_disconnected: IsDisconnected | None = None


class _Pace:
    """How long an item keeps those behind it waiting: from the end of one run to the next."""

    def __init__(self) -> None:
        self.seconds = 0.0  # an item; until a run has ended
        self._ended = 0.0

    def take_note(self, began: float, num_items: int) -> None:
        """Take note of a run that has just ended. All that the event loop had to do is in it."""
        now = time.perf_counter()
        seconds = (now - max(began, self._ended)) / num_items
        self._ended = now
        known = self.seconds or seconds
        self.seconds = known + _SMOOTHING * (seconds - known)


class Batcher:
    """The queue of one model."""

    def __init__(self, compute: Compute, limits: BatchLimits, runs: Runs, model: str = "") -> None:
        """Start with an empty queue, on the running event loop.

        Args:
            compute: Starts one run.
            limits: On a batch, and on the queue.
            runs: The runs of all models.
            model: SHA-256 of the model's file.
        """
        self._compute, self.limits, self._runs, self._model = compute, limits, runs, model
        self._loop = asyncio.get_running_loop()
        self._queue: list[_Entry] = []  # sorted by rank
        self._numbers = count()
        self._num_items = self._num_bytes = 0
        self._seconds_per_item = 0.0
        self._pace = _Pace()

    @property
    def num_waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    async def submit(
        self,
        arrays: Arrays,
        outputs: Outputs = None,
        *,
        priority: int = 0,
        deadline: float | None = None,
        is_disconnected: IsDisconnected | None = None,
    ) -> Computed:
        """Compute the outputs of one request.

        Args:
            arrays: By input name, checked.
            outputs: Names; None: all.
            priority: Higher goes first; equals go in the order they came.
            deadline: By the event loop's clock: after it, nobody wants the answer.
            is_disconnected: Whether the client has hung up; called before the request would run.

        Raises:
            OverloadedError: The queue is full.
            DeadlineError: The deadline passed before it ran, or will: too much waits before it.
            AbandonedError: The client hung up before it ran.
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
        """Run the next batch; return whether there was one. Called by `Runs`."""
        batch = self._take()
        if not batch:
            return False
        started, began = self._loop.time(), time.perf_counter()
        seconds = self._seconds_per_item * sum(entry.num_items for entry in batch)
        run = self._compute([entry.arrays for entry in batch], batch[0].outputs, seconds)
        run.add_done_callback(partial(self._end, batch, started, began))
        return True

    def accepts(self, demand: Demand, num_others: int = 0) -> bool:
        """Return whether a request would be taken into the queue, behind others like it."""
        if not self._queue and not num_others:
            return True  # whatever its size, as `_admit` would
        num_before = self._num_items + num_others * demand.num_items
        return self._pace.seconds * num_before <= demand.seconds and self._fits(
            (num_others + 1) * demand.num_items, (num_others + 1) * demand.num_bytes
        )

    def _entry(self, arrays: Arrays, outputs: Outputs, priority: int) -> _Entry:
        values = tuple(arrays.items())
        return _Entry(
            arrays,
            outputs,
            (outputs, *((name, a.dtype, a.shape[1:]) for name, a in values)),
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
                f"{self._num_items} items wait for this model, at most {limits.queue_items} items "
                f"and {limits.queue_bytes} bytes may",
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
        """Refuse what would only wait in vain, and lengthen the queue for the others."""
        left = deadline - self._loop.time()
        if left <= 0:
            raise DeadlineError(f"the request's deadline passed {-left:.3f} s before it came")
        if self._pace.seconds * self._num_items <= left:
            return
        before = takewhile(lambda e: e.rank < entry.rank, self._queue)
        seconds = self._pace.seconds * sum(e.num_items for e in before)
        if seconds > left:
            is_usual = entry.rank[0] == 0
            demand = Demand(self._model, entry.num_items, entry.num_bytes, left)
            raise DeadlineError(
                f"the request's deadline is in {left:.3f} s, and what waits before it takes "
                f"{seconds:.3f} s",
                retry_after_seconds=max(1.0, math.ceil(seconds - left)),
                demand=demand if is_usual else None,
            )

    def _expire(self, entry: _Entry) -> None:
        if entry in self._queue and not entry.answer.done():
            self._remove(entry)
            waited = self._loop.time() - entry.queued_at
            entry.answer.set_exception(
                DeadlineError(f"the request's deadline passed after {waited:.3f} s in the queue")
            )

    def _take(self) -> list[_Entry]:
        """Take the first in line and those behind it that can go with it."""
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
        self._pace.take_note(began, sum(entry.num_items for entry in batch))
        error = asyncio.CancelledError() if run.cancelled() else run.exception()
        if error is None:
            self._answer(batch, started, *run.result())
        elif len(batch) == 1:
            if not batch[0].answer.done():
                batch[0].answer.set_exception(error)
        else:
            self._retry_alone(batch)
        self._runs.end()

    def _answer(
        self, batch: list[_Entry], started: float, outputs: Sequence[Arrays], seconds: float
    ) -> None:
        size = sum(entry.num_items for entry in batch)
        known = self._seconds_per_item or seconds / size
        self._seconds_per_item = known + _SMOOTHING * (seconds / size - known)
        for entry, found in zip(batch, outputs, strict=True):
            if not entry.answer.done():
                waited = started - entry.queued_at
                entry.answer.set_result(Computed(found, waited, seconds, size))

    def _retry_alone(self, batch: list[_Entry]) -> None:
        """Queue them again, each by itself: one that fails must not fail the others."""
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
