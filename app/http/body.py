"""Limits enforced while a body streams in: size, rate, JSON depth, and memory of all bodies."""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.contracts.errors import TooLargeError
from app.contracts.settings import HttpSettings, LimitSettings
from app.http.callers import tenant_of
from app.http.depth import DepthMeter
from app.http.disconnect import Exchange, exchange_of
from app.http.errors import JsonTooDeepError, TooSlowError
from app.http.headers import find_header
from app.http.limits import LimitsByPath, RouteLimits
from app.http.memory import BodyMemory, put_memory
from app.http.shares import Shares
from app.http.weight import parsed_bytes

_BLANK = b"\xef\xbb\xbf \t\r\n"  # may precede JSON


class BodyMiddleware:
    """ASGI middleware that refuses a body at the first byte past its route's limit."""

    def __init__(  # where the limits are
        self,
        app: ASGIApp,
        http: HttpSettings,
        limits: LimitSettings,
        by_path: LimitsByPath,
        share: float,
    ) -> None:
        """Wrap ``app``.

        Args:
            app: The wrapped application.
            http: Limits on the pace, the depth and the memory of bodies.
            limits: Limits on their size.
            by_path: Limits declared by routes.
            share: Largest share of the memory that one tenant gets.
        """
        self._app, self._http, self._limits, self._by_path = app, http, limits, by_path
        self._memory = Shares(http.buffered_bytes, share)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = self._by_path.find(scope["path"])
        memory = BodyMemory(self._memory, tenant_of(scope))
        put_memory(scope, memory)
        content = _Content(
            memory,
            DepthMeter(self._http.json_depth) if route.has_depth_limit else None,
            self._http,
            _num_json_bytes(route, scope),
        )
        body = _Body(
            receive,
            self._http,
            route.body(self._limits),
            declared=find_header(scope, b"content-length") or b"",
            content=content if _is_in_memory(route, scope) else None,
            exchange=exchange_of(scope),
        )
        try:
            await self._app(scope, body.receive, send)
        finally:
            memory.let_go()


def _is_in_memory(route: RouteLimits, scope: Scope) -> bool:
    if not route.is_on_disk:
        return True
    media_type = find_header(scope, b"content-type") or b""
    return route.takes_json and not media_type.startswith(b"multipart/form-data")


def _num_json_bytes(route: RouteLimits, scope: Scope) -> int | None:
    """Return how much of a body is JSON where bytes of tensors follow; None: all, if it is."""
    declared = find_header(scope, b"inference-header-content-length") or b""
    return int(declared[:20]) if route.has_binary_tail and declared.isdigit() else None


class _Content:
    """Measures a body that is kept in memory. JSON is told by its first character."""

    def __init__(
        self,
        memory: BodyMemory,
        meter: DepthMeter | None,
        http: HttpSettings,
        num_json_bytes: int | None,
    ) -> None:
        self._memory, self._meter, self._http = memory, meter, http
        self._left = num_json_bytes  # bytes of JSON still to come
        self._is_json: bool | None = None  # None: nothing but blanks so far

    def feed(self, chunk: bytes, *, is_last: bool) -> None:
        self._memory.hold(len(chunk))
        if self._is_json is None and (begin := chunk.lstrip(_BLANK)[:1]):
            self._is_json = begin in {b"{", b"["}
        if not self._is_json:
            return
        if self._left is not None:
            chunk, self._left = chunk[: self._left], max(0, self._left - len(chunk))
        self._memory.hold_parsed(parsed_bytes(chunk))
        if self._meter is None:
            return
        self._meter.feed(chunk)
        if is_last:
            self._refuse_shape(self._meter)

    def _refuse_shape(self, meter: DepthMeter) -> None:
        depth, most = self._http.json_depth, self._http.json_values
        if meter.is_too_deep():
            raise JsonTooDeepError(f"the JSON is nested deeper than {depth} levels, the limit")
        num_values = meter.num_values()
        if num_values > most:
            raise TooLargeError(f"the JSON has {num_values} values, the limit is {most}")


class _Body:
    def __init__(  # one argument per limit
        self,
        receive: Receive,
        http: HttpSettings,
        limit: int,
        *,
        declared: bytes,
        content: _Content | None,
        exchange: Exchange | None,
    ) -> None:
        self._receive, self._http, self._limit = receive, http, limit
        self._declared, self._content, self._exchange = declared, content, exchange
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
            waited = self._waited + clock() - started
            raise TooSlowError(
                f"{self._num_bytes} bytes of the body arrived in {waited:.0f} s; send at "
                f"least {http.body_bytes_per_second} bytes per second, without pauses of "
                f"{http.body_stall_seconds:g} s"
            ) from error
        finally:
            self._waited += clock() - started

    def _has_arrived(self) -> bool:
        return self._exchange is not None and not self._exchange.more_body

    def _count(self, chunk: bytes) -> None:
        self._num_bytes += len(chunk)
        if self._num_bytes > self._limit:
            raise TooLargeError(f"the body has more than {self._limit} bytes, the limit")
        if self._content is not None:
            self._content.feed(chunk, is_last=self._is_complete)


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
