"""Executes the steps of flows by blocking; `async_transport` is its twin. It decides nothing."""

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

import httpx

from secateur.core.bodies import Body
from secateur.core.connection import Connection, to_answer, to_loss
from secateur.core.requests import CHUNK_BYTES, FileBody, Request
from secateur.core.steps import Answer, Emit, Fetch, Flow, Open, Read, Send, Sleep, Step, Work

T = TypeVar("T")


class Transport:
    """Executes flows by blocking."""

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None) -> None:
        self._connection = connection
        self._http = httpx.Client(transport=transport, **connection.options())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run(self, flow: Flow[T]) -> T:
        """Execute all steps of a flow and return the flow's result."""
        driver = self.iterate(flow)
        while True:
            try:
                next(driver)
            except StopIteration as stop:
                result: T = stop.value
                return result

    def iterate(self, flow: Flow[T]) -> Generator[Any, None, T]:
        """Execute all steps of a flow and yield the values it emits."""
        outcome: Any = None
        error: Exception | None = None
        with ExitStack() as stack:
            stack.callback(flow.close)
            stream = _Stream(stack.enter_context(ExitStack()))
            while True:
                try:
                    step = flow.send(outcome) if error is None else flow.throw(error)
                except StopIteration as stop:
                    return stop.value  # type: ignore[no-any-return]  # the flow's result
                outcome, error = None, None
                if isinstance(step, Emit):
                    yield step.value
                    continue
                try:
                    outcome = self._do(step, stream)
                except httpx.TransportError as lost:
                    error = to_loss(lost)
                except Exception as raised:  # noqa: BLE001  # the flow handles it
                    error = raised

    def _do(self, step: Step, stream: "_Stream") -> Any:  # noqa: ANN401  # depends on the step
        outcome: Any = None
        match step:
            case Send(request):
                with self._http.stream(**self._arguments(request)) as response:
                    outcome = to_answer(response, _read(response))
            case Fetch():
                outcome = self._fetch(step)
            case Open(request):
                outcome = stream.open(self._http.stream(**self._arguments(request)))
            case Read():
                outcome = next(stream.chunks, b"")
            case Work(function):
                outcome = function()
            case Sleep(seconds):
                time.sleep(seconds)
        return outcome

    def _fetch(self, step: Fetch) -> Answer:
        with self._http.stream(**self._arguments(step.request)) as response:
            if not response.is_success:
                return to_answer(response, _read(response))
            step.sink.begin(to_answer(response))
            for chunk in response.iter_raw(CHUNK_BYTES):
                step.sink.write(chunk)
                step.sink.report()
            return to_answer(response)

    def _arguments(self, request: Request) -> dict[str, Any]:
        found = self._connection.arguments(request)
        if isinstance(request.body, FileBody):
            found["content"] = _send(request.body)
        return found


class _Stream:
    """The response that is being streamed."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.chunks: Iterator[bytes] = iter(())

    def open(self, context: Any) -> Answer:  # noqa: ANN401  # httpx's context manager
        self._stack.close()
        response: httpx.Response = self._stack.enter_context(context)
        if not response.is_success:
            return to_answer(response, _read(response))
        self.chunks = response.iter_raw()
        return to_answer(response)


def _read(response: httpx.Response) -> bytes:
    body = Body(is_success=response.is_success)
    for chunk in response.iter_raw(CHUNK_BYTES):
        body.add(chunk)
    return body.value()


def _send(body: FileBody) -> Iterator[bytes]:
    done = 0
    for chunk in body.chunks():
        yield chunk
        done += len(chunk)
        body.report(done)
