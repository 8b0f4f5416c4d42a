"""Keeps one serving process alive, and the calls to it within their limits.

While calls are outstanding it looks at the process four times a second. A process that answers no
ping and uses no CPU is frozen; one that uses more memory than its limit has outgrown it; one that
does not return from a run is stuck. Each is killed, its calls are answered with 503, and a new
process starts at once. Models are loaded again on demand.
"""

import asyncio
import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import structlog

from app.contracts.errors import RestartingError
from app.contracts.settings import Settings
from app.inference.blame import Call, Ending, guilty_calls
from app.inference.breaker import Breaker
from app.inference.process import Lane, OnAnswer, ServingProcess, memory_limit
from app.serving.description import Arrays
from app.serving.frames import Frame

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.2
_SILENT_SECONDS = 0.5  # without a pong and without CPU time: frozen
_DEAF_SECONDS = 15.0  # without a pong, whatever it computes
_OVERRUN_SECONDS = 5.0  # a stopped run ends at its next operator; one operator may be endless
_FIRST_START_SECONDS = 30.0  # how long requests wait for the first process
_RESTART_SECONDS = 0.6  # how long requests wait for the next one before they are refused
_RETRY_SECONDS = 1.0
_MOST_REST_SECONDS = 30.0  # between starts of a process that keeps dying at its start


class Supervisor:
    """The serving process behind one API process. Used on the event loop.

    Args:
        settings: The service's settings.
        on_death: Called when the process has ended and its sessions are gone.

    Attributes:
        breaker: What is held back.
        num_deaths: Processes that have ended.
    """

    def __init__(self, settings: Settings, on_death: Callable[[], None]) -> None:
        self._settings, self._on_death = settings, on_death
        self._most_bytes = memory_limit(settings)
        self.breaker = Breaker()
        self.num_deaths = 0
        self._process: ServingProcess | None = None
        self._ready = asyncio.Event()
        self._is_ready = threading.Event()  # for `wait`, on threads
        self._has_started = self._is_closed = False
        self._num_failures = 0
        self._calls: dict[int, Call] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._pinged_at = math.inf
        self._cpu_seconds: float | None = None
        self._complained: Ending | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the first process; do not wait for it."""
        self._process = ServingProcess(self._settings, self._be_ready, self._bury)
        await self._process.connect()

    @property
    def pid(self) -> int | None:
        """Process id of the current process."""
        return None if self._process is None else self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether the process takes calls."""
        return self._ready.is_set()

    @property
    def num_outstanding(self) -> int:
        """Calls that wait for an answer."""
        return len(self._calls)

    def wait(self, seconds: float) -> bool:
        """Wait on a thread; return whether the process takes calls."""
        return self._is_ready.wait(seconds)

    async def wait_ready(self) -> None:
        """Wait until the process takes calls.

        Raises:
            RestartingError: It does not in time.
        """
        if self._ready.is_set():
            return
        seconds = _RESTART_SECONDS if self._has_started else _FIRST_START_SECONDS
        try:
            await asyncio.wait_for(self._ready.wait(), seconds)
        except TimeoutError as error:
            raise self.unavailable() from error

    def call(
        self,
        lane: Lane,
        head: dict[str, Any],
        on_answer: OnAnswer,
        call: Call,
        parts: Sequence[Arrays] = (),
    ) -> None:
        """Send a call; ``on_answer`` receives the answer, or None if the process ends first.

        Raises:
            RestartingError: The process is not ready, or what the call computes is held back.
        """
        process = self._process
        if process is None or not self._ready.is_set():
            raise self.unavailable()
        if self.breaker.is_active:
            self.breaker.check(call.name, call.tenant)

        def take(frame: Frame | None) -> None:
            self._calls.pop(call.number, None)
            on_answer(frame)

        call.number = process.call(lane, head, take, parts)
        self._calls[call.number] = call
        if self._timer is None:
            self._ping(process)
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    async def ask(
        self, lane: Lane, head: dict[str, Any], call: Call, parts: Sequence[Arrays] = ()
    ) -> Frame:
        """Send a call and wait for its answer.

        Raises:
            RestartingError: As `call` does, or the process ended before it answered.
        """
        answer: asyncio.Future[Frame | None] = asyncio.get_running_loop().create_future()

        def take(frame: Frame | None) -> None:
            if not answer.done():
                answer.set_result(frame)

        self.call(lane, head, take, call, parts)
        frame = await answer
        if frame is None:
            raise self.unavailable()
        return frame

    def tell(self, lane: Lane, head: dict[str, Any]) -> None:
        """Send a call whose answer nobody needs."""
        if self._process is not None and self._ready.is_set():
            self._process.call(lane, head, lambda _: None)

    def unavailable(self) -> RestartingError:
        """Return the error for a request that the process cannot take."""
        return RestartingError(
            "the serving process is being started again: try again in a moment",
            retry_after_seconds=_RETRY_SECONDS,
        )

    async def close(self) -> None:
        """Kill the process."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.close()

    def _be_ready(self) -> None:
        process = self._process
        assert process is not None  # noqa: S101  # it has called
        self._has_started, self._num_failures = True, 0
        self._ready.set()
        self._is_ready.set()
        say = log.info if process.isolation or sys.platform != "linux" else log.warning
        say("serving.ready", pid=process.pid, isolation=list(process.isolation))

    def _look(self) -> None:
        """Look at the process while calls are outstanding."""
        self._timer = None
        process = self._process
        if process is None or not self._calls:
            return
        now = time.monotonic()
        if reason := self._complaint(process, now):
            self._complained = Ending(reason, now, self._pinged_at, process.uses())
            process.kill()
            return
        for call in list(self._calls.values()):
            is_wanted = call.is_wanted is None or call.is_wanted()
            if call.stopped_at == math.inf and (
                not is_wanted or now - call.began > call.most_seconds
            ):
                call.stopped_at = now
                self.tell("control", {"op": "stop", "call": call.number})
        self._ping(process)
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _ping(self, process: ServingProcess) -> None:
        if self._pinged_at == math.inf:
            self._pinged_at, self._cpu_seconds = time.monotonic(), process.cpu_seconds()
            process.call("control", {"op": "ping"}, self._hear)

    def _hear(self, _answer: object) -> None:
        self._pinged_at = math.inf

    def _complaint(self, process: ServingProcess, now: float) -> str:
        """Return why the process must be killed; empty: it need not."""
        silent = now - self._pinged_at
        known = self._cpu_seconds
        is_still = known is not None and process.cpu_seconds() == known
        if silent > _SILENT_SECONDS and is_still and not process.is_runnable():
            return "frozen"
        if silent > _DEAF_SECONDS:
            return "deaf"
        if process.memory_bytes() > self._most_bytes:
            return "outgrown"
        if any(
            now - call.began > call.most_seconds + _OVERRUN_SECONDS for call in self._calls.values()
        ):
            return "stuck"
        return ""

    def _bury(self, process: ServingProcess) -> None:
        """Start the next process, and note why this one ended."""
        if self._is_closed:
            return
        self.num_deaths += 1
        was_ready = self._ready.is_set()
        self._ready.clear()
        self._is_ready.clear()
        calls, self._calls = self._calls, {}
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ending = self._complained or Ending("", time.monotonic())
        self._complained, self._pinged_at = None, math.inf
        self._num_failures += 0 if was_ready else 1
        rest = 0.0 if was_ready else min(_MOST_REST_SECONDS, 0.5 * 2**self._num_failures)
        for work in (self._restart(rest), self._examine(process, ending, list(calls.values()))):
            task = asyncio.get_running_loop().create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._on_death()

    async def _restart(self, rest: float) -> None:
        self._process = None
        await asyncio.sleep(rest)
        await self.start()

    async def _examine(self, process: ServingProcess, ending: Ending, calls: list[Call]) -> None:
        """Find out how a process ended, on a thread: the kernel takes a while to free gigabytes."""
        code, crashed = await asyncio.to_thread(process.ending)
        guilty, is_certain = guilty_calls(calls, replace(ending, code=code, crashed=crashed))
        held = self.breaker.blame(
            [call.name for call in guilty], guilty[0].tenant if is_certain else None
        )
        process.close()
        log.error(
            "serving.ended",
            pid=process.pid,
            return_code=code,
            reason=ending.reason or "died",
            num_calls=len(calls),
            held_back=held,
        )
