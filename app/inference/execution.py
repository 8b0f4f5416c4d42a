"""Execution of batches in the serving process."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.contracts.errors import (
    InvalidInputError,
    OverloadedError,
    RestartingError,
    ServiceError,
    TooLargeError,
)
from app.contracts.settings import InferenceSettings
from app.inference.batcher import IsWanted, Outputs, Run, StoppedError
from app.inference.blame import Call
from app.inference.held import HeldArray, Inputs, Place
from app.inference.runs import Runs
from app.inference.supervisor import Supervisor
from app.serving.description import Arrays
from app.serving.frames import Frame
from app.telemetry.metrics import Metrics

_AHEAD = 1  # batches sent ahead, so that the process never waits for the loop
_AGAIN_SECONDS = 0.05  # a run that found no memory is tried again: a larger one may have failed too


@dataclass(frozen=True)
class Handle:
    """A session in the serving process.

    Attributes:
        key: Its key there.
        name: What is held back if it crashes the process.
        tenant: Tenant whose model it is.
    """

    key: str
    name: str
    tenant: str


class Execution:
    """Executor for the batches of all models.

    Attributes:
        runs: Limit on concurrent runs.
    """

    def __init__(
        self, settings: InferenceSettings, supervisor: Supervisor, metrics: Metrics
    ) -> None:
        self.runs = Runs(settings.num_workers, _AHEAD)
        self._settings, self._supervisor, self._metrics = settings, supervisor, metrics

    def start(
        self, handle: Handle, requests: Sequence[Inputs], outputs: Outputs, is_wanted: IsWanted
    ) -> Run:
        """Start one run.

        Args:
            handle: The model's session.
            requests: Arrays by input name of each request in the batch.
            outputs: Names of the outputs to return; None: all.
            is_wanted: Whether anybody still waits for the answer.
        """
        run: Run = asyncio.get_running_loop().create_future()
        self._send(run, handle, requests, outputs, is_wanted)
        return run

    def _send(
        self,
        run: Run,
        handle: Handle,
        requests: Sequence[Inputs],
        outputs: Outputs,
        is_wanted: IsWanted,
        *,
        is_again: bool = False,
    ) -> None:
        def take(frame: Frame | None) -> None:
            if run.done():
                return
            if frame is None:
                run.set_exception(self._supervisor.unavailable())
            elif "error" not in frame.head:
                self._finish(run, requests, frame)
            elif frame.head["error"] == "memory" and not is_again:
                asyncio.get_running_loop().call_later(_AGAIN_SECONDS, again)
            else:
                run.set_exception(self._error(frame))

        def again() -> None:
            self._send(run, handle, requests, outputs, is_wanted, is_again=True)

        most_seconds = self._settings.request_seconds
        call = Call(handle.name, handle.tenant, time.monotonic(), most_seconds, is_wanted)
        head: dict[str, Any] = {"op": "run", "key": handle.key, "outputs": outputs}
        parts, held = _apart(requests)
        if held:
            head["held"] = held
        try:
            self._supervisor.call("runs", head, take, call, parts)
        except RestartingError as error:
            run.set_exception(error)

    def _finish(self, run: Run, requests: Sequence[Inputs], frame: Frame) -> None:
        sizes = [_num_items(request) for request in requests]
        seconds = float(frame.head["seconds"])
        self._metrics.compute_seconds.observe(seconds)
        self._metrics.batch_items.observe(sum(sizes))
        if len(requests) == 1:
            run.set_result(([frame.arrays], seconds))
            return
        parts, start = [], 0
        for size in sizes:
            parts.append({name: v[start : start + size] for name, v in frame.arrays.items()})
            start += size
        run.set_result((parts, seconds))

    def _error(self, frame: Frame) -> Exception:
        if frame.head["error"] == "stopped":
            return StoppedError(
                f"the request computes for longer than {self._settings.request_seconds:g} s: send "
                "fewer items per request"
            )
        return explain(frame)


def explain(frame: Frame) -> ServiceError:
    """Return the error for an answer that reports one."""
    code, message = frame.head["error"], str(frame.head["message"])
    if code == "too_large":
        return TooLargeError(message)
    if code == "memory":
        return OverloadedError(f"{message}: send fewer items per request, or try again later")
    if code == "unloaded":
        return RestartingError(message)
    return InvalidInputError(message)


def _apart(requests: Sequence[Inputs]) -> tuple[list[Arrays], dict[str, list[Place]]]:
    """Return a batch's arrays, and where the serving process finds those that it holds.

    An input is of one kind in all requests of a batch.
    """
    parts: list[Arrays] = [{} for _ in requests]
    held: dict[str, list[Place]] = {}
    for part, request in zip(parts, requests, strict=True):
        for name, array in request.items():
            if isinstance(array, HeldArray):
                held.setdefault(name, []).append(array.place)
            else:
                part[name] = array
    return parts, held


def _num_items(request: Inputs) -> int:
    first = next(iter(request.values()))
    return len(first) if first.ndim else 1
