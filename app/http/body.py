"""Limits enforced while a body streams in: size, rate, JSON depth, and total bytes buffered."""

import asyncio
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.contracts.errors import TooLargeError
from app.contracts.settings import HttpSettings, LimitSettings
from app.http.depth import DepthMeter
from app.http.disconnect import Exchange, exchange_of
from app.http.errors import BusyError, JsonTooDeepError, TooSlowError
from app.http.headers import find_header
from app.http.limits import LimitsByPath


@dataclass
class _Held:
    """Total bytes of request bodies held in memory."""

    num_bytes: int = 0


class BodyMiddleware:
    """ASGI middleware that refuses a body at the first byte past its route's limit."""

    def __init__(
        self, app: ASGIApp, http: HttpSettings, limits: LimitSettings, by_path: LimitsByPath
    ) -> None:
        self._app, self._http, self._limits, self._by_path = app, http, limits, by_path
        self._held = _Held()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_json = b"json" in (find_header(scope, b"content-type") or b"")
        route = self._by_path.find(scope["path"])
        has_depth_limit = is_json and route.has_depth_limit
        body = _Body(
            receive,
            self._http,
            route.body(self._limits),
            declared=find_header(scope, b"content-length") or b"",
            meter=DepthMeter(self._http.json_depth) if has_depth_limit else None,
            held=None if route.is_on_disk and not is_json else self._held,
            exchange=exchange_of(scope),
        )
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.let_go()


class _Body:
    def __init__(  # noqa: PLR0913  # one argument per limit
        self,
        receive: Receive,
        http: HttpSettings,
        limit: int,
        *,
        declared: bytes,
        meter: DepthMeter | None,
        held: _Held | None,
        exchange: Exchange | None,
    ) -> None:
        self._receive, self._http, self._limit = receive, http, limit
        self._declared, self._meter, self._held = declared, meter, held
        self._exchange = exchange
        self._num_bytes, self._waited, self._is_complete = 0, 0.0, False

    async def receive(self) -> Message:
        if self._is_complete:
            return await self._receive()  # only a disconnect can follow
        if self._declared.isdigit() and int(self._declared) > self._limit:
            raise TooLargeError(
                f"the body has {self._declared.decode()} bytes, at most {self._limit} are accepted"
            )
        message = await self._next()
        if message["type"] == "http.request":
            self._is_complete = not message.get("more_body", False)
            self._count(message.get("body", b""))
        return message

    def let_go(self) -> None:
        if self._held is not None:
            self._held.num_bytes -= self._num_bytes

    async def _next(self) -> Message:
        """Return the next message; bytes received so far extend the time allowed."""
        if self._has_arrived():
            return await self._receive()  # already buffered: no timer needed
        http, clock = self._http, asyncio.get_running_loop().time
        earned = http.body_grace_seconds + self._num_bytes / http.body_bytes_per_second
        started = clock()
        try:
            async with asyncio.timeout(min(http.body_stall_seconds, earned - self._waited)):
                return await self._receive()
        except TimeoutError as error:
            self._waited += clock() - started
            raise TooSlowError(
                f"{self._num_bytes} bytes of the body arrived in {self._waited:.0f} s; send at "
                f"least {http.body_bytes_per_second} bytes per second, without pauses of "
                f"{http.body_stall_seconds:g} s"
            ) from error
        finally:
            self._waited += clock() - started

    def _has_arrived(self) -> bool:
        return self._exchange is not None and not self._exchange.more_body

    def _count(self, chunk: bytes) -> None:
        self._num_bytes += len(chunk)
        if self._held is not None:
            self._held.num_bytes += len(chunk)
        if self._num_bytes > self._limit:
            raise TooLargeError(f"the body has more than {self._limit} bytes, the limit")
        if self._held is not None and self._held.num_bytes > self._http.buffered_bytes:
            raise BusyError(
                f"the service is reading bodies of {self._http.buffered_bytes} bytes in total, its "
                "limit; try again soon"
            )
        if self._meter is not None:
            self._meter.feed(chunk)
            if self._is_complete and self._meter.is_too_deep():
                raise JsonTooDeepError(
                    f"the JSON is nested deeper than {self._http.json_depth} levels, the limit"
                )


async def read_body(receive: Receive) -> bytes:
    """Read a whole body. Small bodies usually arrive in one piece.

    Raises:
        ClientDisconnect: The client disconnected before the end of the body.
    """
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
