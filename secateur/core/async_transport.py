"""Executes the steps of flows by awaiting, with asyncio; file access runs on threads."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any, TypeVar

import httpx

from secateur.core.bodies import Body
from secateur.core.connection import Connection, to_answer, to_loss
from secateur.core.requests import CHUNK_BYTES, FileBody, Request
from secateur.core.steps import Answer, Emit, Fetch, Flow, Open, Read, Send, Sleep, Step, Work

T = TypeVar("T")


class AsyncTransport:
    """Executes flows by awaiting."""

    def __init__(self, connection: Connection, transport: httpx.AsyncBaseTransport | None) -> None:
        self._connection = connection
        self._http = httpx.AsyncClient(transport=transport, **connection.options())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """Execute all steps of a flow and return the flow's result."""
        result: list[T] = []
        async with aclosing(self._drive(flow, result)) as driver:
            async for _ in driver:
                pass
        return result[0]

    def iterate(self, flow: Flow[None]) -> AsyncGenerator[Any, None]:
        """Execute all steps of a flow and yield the values it emits."""
        return self._drive(flow, [])

    async def _drive(self, flow: Flow[T], result: list[T]) -> AsyncGenerator[Any, None]:
        outcome: Any = None
        error: Exception | None = None
        async with AsyncExitStack() as stack:
            stack.callback(flow.close)
            stream = _Stream(await stack.enter_async_context(AsyncExitStack()))
            while True:
                try:
                    step = flow.send(outcome) if error is None else flow.throw(error)
                except StopIteration as stop:
                    result.append(stop.value)
                    return
                outcome, error = None, None
                if isinstance(step, Emit):
                    yield step.value
                    continue
                try:
                    outcome = await self._do(step, stream)
                except httpx.TransportError as lost:
                    error = to_loss(lost)
                except Exception as raised:  # noqa: BLE001  # the flow handles it
                    error = raised

    async def _do(self, step: Step, stream: "_Stream") -> Any:  # noqa: ANN401  # depends on the step
        outcome: Any = None
        match step:
            case Send(request):
                async with self._http.stream(**self._arguments(request)) as response:
                    outcome = to_answer(response, await _read(response))
            case Fetch():
                outcome = await self._fetch(step)
            case Open(request):
                outcome = await stream.open(self._http.stream(**self._arguments(request)))
            case Read():
                outcome = await anext(stream.chunks, b"")
            case Work(function):
                outcome = await asyncio.to_thread(function)
            case Sleep(seconds):
                await asyncio.sleep(seconds)
        return outcome

    async def _fetch(self, step: Fetch) -> Answer:
        async with self._http.stream(**self._arguments(step.request)) as response:
            if not response.is_success:
                return to_answer(response, await _read(response))
            await asyncio.to_thread(step.sink.begin, to_answer(response))
            async for chunk in response.aiter_raw(CHUNK_BYTES):
                await asyncio.to_thread(step.sink.write, chunk)
                step.sink.report()
            return to_answer(response)

    def _arguments(self, request: Request) -> dict[str, Any]:
        found = self._connection.arguments(request)
        if isinstance(request.body, FileBody):
            found["content"] = _send(request.body)
        return found


class _Stream:
    """The response that is being streamed."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.chunks: AsyncIterator[bytes] = _nothing()

    async def open(self, context: Any) -> Answer:  # noqa: ANN401  # httpx's context manager
        await self._stack.aclose()
        response: httpx.Response = await self._stack.enter_async_context(context)
        if not response.is_success:
            return to_answer(response, await _read(response))
        self.chunks = response.aiter_raw()
        return to_answer(response)


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for chunk in nothing:
        yield chunk


async def _read(response: httpx.Response) -> bytes:
    body = Body(is_success=response.is_success)
    async for chunk in response.aiter_raw(CHUNK_BYTES):
        body.add(chunk)
    return body.value()


async def _send(body: FileBody) -> AsyncIterator[bytes]:
    done, chunks = 0, body.chunks()
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk
        done += len(chunk)
        body.report(done)
