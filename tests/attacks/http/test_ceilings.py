"""Limits of one process: requests, streams, and bytes in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from app.contracts.settings import HttpSettings, LimitSettings
from app.http.body import BodyMiddleware
from app.http.errors import BusyError, TooSlowError
from app.http.gate import GateMiddleware
from app.http.headers import find_header
from app.http.limits import LimitsByPath
from app.http.problems import install_error_handlers
from app.jobs.routes import router as jobs
from app.models.routes import router as models

ROUTES = [*jobs.routes, *models.routes]
EVENTS = ((b"accept", b"text/event-stream"),)


APP = FastAPI()
install_error_handlers(APP, {})


@dataclass(frozen=True)
class Tenant:
    tenant: str


async def identify(scope: Scope) -> Tenant:
    """Trust what a request says about itself."""
    return Tenant(str(find_header(scope, b"tenant") or b"a", "ascii"))


def scope_of(path: str = "/v1/models", *headers: tuple[bytes, bytes]) -> Scope:
    return {
        "type": "http",
        "app": APP,
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"localhost"), *headers],
    }


async def nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def status_through(app: Any, scope: Scope) -> int:
    statuses: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, nothing, send)
    return statuses[0]


async def held_by(
    http: HttpSettings,
    scopes: list[Scope],
    then: Callable[[Any], Awaitable[None]],
    share: float = 1,
) -> None:
    """Admit requests, and run a function while they are in progress."""
    leave, are_inside, num_inside = asyncio.Event(), asyncio.Event(), 0

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal num_inside
        num_inside += 1
        if num_inside == len(scopes):
            are_inside.set()
        if num_inside <= len(scopes):
            await leave.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    gate = GateMiddleware(app, http, (), LimitsByPath(ROUTES), share, identify)
    tasks = [asyncio.create_task(status_through(gate, scope)) for scope in scopes]
    await are_inside.wait()
    await then(gate)
    leave.set()
    assert set(await asyncio.gather(*tasks)) <= {200}
    assert await status_through(gate, scopes[0]) == 200


def test_requests_are_limited_and_health_checks_are_not() -> None:
    async def one_more(gate: Any) -> None:
        assert await status_through(gate, scope_of()) == 503
        assert await status_through(gate, scope_of("/healthz")) == 200

    asyncio.run(held_by(HttpSettings(concurrent_requests=3), [scope_of()] * 3, one_more))

    async def the_last(gate: Any) -> None:
        assert await status_through(gate, scope_of()) == 200

    asyncio.run(held_by(HttpSettings(concurrent_requests=4), [scope_of()] * 3, the_last))


def test_streams_have_a_lower_limit() -> None:
    stream = scope_of("/v1/jobs/job_1/events", *EVENTS)

    async def one_more(gate: Any) -> None:
        assert await status_through(gate, stream) == 503
        assert await status_through(gate, scope_of("/v1/jobs/job_1/events")) == 200

    asyncio.run(held_by(HttpSettings(event_streams=2), [stream] * 2, one_more))


async def receive_all(app: BodyMiddleware, scope: Scope, receive: Receive) -> None:
    async def send(_message: Message) -> None:
        return None

    await app(scope, receive, send)


def test_bodies_in_memory_share_a_limit_that_excludes_uploads() -> None:
    async def reader(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive()).get("more_body"):
            pass

    async def run() -> None:
        middleware = BodyMiddleware(
            reader, HttpSettings(buffered_bytes=100), LimitSettings(), LimitsByPath(ROUTES), 1
        )
        go_on = asyncio.Event()
        pieces = [b"a" * 60, b"a" * 40]

        async def slowly() -> Message:
            if len(pieces) == 1:
                await go_on.wait()
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def quickly(num_bytes: int) -> None:
            async def receive() -> Message:
                return {"type": "http.request", "body": b"a" * num_bytes, "more_body": False}

            await receive_all(middleware, scope_of("/v1/models/m"), receive)

        first = asyncio.create_task(receive_all(middleware, scope_of("/v1/models/m"), slowly))
        await asyncio.sleep(0)
        await quickly(40)
        with pytest.raises(BusyError):
            await quickly(41)

        async def upload() -> Message:
            return {"type": "http.request", "body": b"a" * 1000, "more_body": False}

        await receive_all(middleware, scope_of("/v1/models"), upload)
        go_on.set()
        await first
        await quickly(100)

    asyncio.run(run())


def test_received_bytes_extend_the_time_for_a_body() -> None:
    """On a loop that skips waiting time."""

    async def reader(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive()).get("more_body"):
            pass

    def run(num_bytes: int) -> None:
        loop = _SkippingLoop()
        http = HttpSettings(
            body_grace_seconds=30, body_bytes_per_second=10, body_stall_seconds=1000
        )
        pieces = [b"a" * num_bytes] * 11

        async def receive() -> Message:
            await asyncio.sleep(10)
            piece = pieces.pop()
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        middleware = BodyMiddleware(reader, http, LimitSettings(), LimitsByPath(ROUTES), 1)
        with closing(loop):
            loop.run_until_complete(receive_all(middleware, scope_of(), receive))

    run(100)  # ten bytes a second
    with pytest.raises(TooSlowError, match="at least 10 bytes per second"):
        run(10)


class _SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer."""

    _now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        due = [handle.when() for handle in self._scheduled if not handle.cancelled()]
        if due and not self._ready:
            self._now = max(self._now, min(due))
        super()._run_once()
