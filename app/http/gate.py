"""Refuse requests with an invalid head, without a valid key, or beyond their tenant's places."""

import re

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.contracts.errors import TooManyRequestsError
from app.contracts.settings import HttpSettings
from app.http.callers import ANYBODY, Identify, caller_of, put_caller, tenant_of
from app.http.disconnect import exchange_of
from app.http.errors import (
    BadRequestError,
    BusyError,
    HeadersTooLargeError,
    UnknownHostError,
    UnsupportedEncodingError,
    UrlTooLongError,
)
from app.http.limits import LimitsByPath, RouteLimits
from app.http.problems import answer_to
from app.http.shares import Shares

ALIVE_PATH = "/healthz"  # exempt from the concurrency limits
_EVENT_STREAM = b"text/event-stream"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUL = re.compile(rb"%00|\x00")
_HEADER_OVERHEAD = len(": \r\n")
_RETRY_SECONDS = 1.0


class GateMiddleware:
    """ASGI middleware that admits a request or answers with a problem.

    The caller is known before a place is taken and before the first byte of a body is read, so a
    request without a valid key costs no more than its head.
    """

    def __init__(  # what it checks
        self,
        app: ASGIApp,
        http: HttpSettings,
        hosts: tuple[str, ...],
        by_path: LimitsByPath,
        share: float,
        identify: Identify,
    ) -> None:
        """Wrap ``app``.

        Args:
            app: The wrapped application.
            http: Limits on URLs, headers, requests and streams.
            hosts: Accepted Host names; empty accepts any.
            by_path: Limits declared by routes.
            share: Largest share of requests and streams that one tenant gets.
            identify: Finds the caller by the head.
        """
        self._app, self._http, self._by_path = app, http, by_path
        self._identify = identify
        self._hosts = frozenset(host.lower() for host in hosts)
        self._requests = Shares(http.concurrent_requests, share)
        self._streams = Shares(http.event_streams, share)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
            route = self._by_path.find(scope["path"])
            if route.needs_key:
                put_caller(scope, await self._identify(scope))
                if not route.may_be_compressed:
                    _check_encoding(scope)
            held = self._find_places(scope, route)
        except Exception as error:  # noqa: BLE001  # of the database, too
            await self._refuse(error, scope, receive, send)
            return
        tenant = tenant_of(scope)
        for shares in held:
            shares.add(tenant, 1)
        try:
            await self._app(scope, receive, send)
        finally:
            for shares in held:
                shares.add(tenant, -1)

    async def _refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        response = await answer_to(Request(scope), error)
        if response is None:
            raise error
        exchange = exchange_of(scope)
        if caller_of(scope) is None and exchange is not None and exchange.more_body:
            response.headers["Connection"] = "close"  # the rest of the body is not worth reading
        await response(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        self._check_url(scope)
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if len(headers) > self._http.num_headers:
            raise HeadersTooLargeError(
                f"the request has {len(headers)} headers, at most {self._http.num_headers} are "
                "accepted"
            )
        num_bytes = sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in headers)
        if num_bytes > self._http.header_bytes:
            raise HeadersTooLargeError(
                f"the headers have {num_bytes} bytes, at most {self._http.header_bytes} are "
                "accepted"
            )
        self._check_host([value for name, value in headers if name == b"host"], scope)

    def _check_url(self, scope: Scope) -> None:
        path, query = scope.get("raw_path") or scope["path"].encode(), scope["query_string"]
        for what, sent, limit in (
            ("path", path, self._http.path_bytes),
            ("query", query, self._http.query_bytes),
        ):
            if len(sent) > limit:
                raise UrlTooLongError(
                    f"the {what} has {len(sent)} bytes, at most {limit} are accepted"
                )
        if _CONTROL.search(scope["path"]):
            raise BadRequestError("the path holds a control character")
        if _NUL.search(query):
            raise BadRequestError("the query holds a NUL character")

    def _check_host(self, sent: list[bytes], scope: Scope) -> None:
        if len(sent) > 1 or (not sent and scope.get("http_version") == "1.1"):
            raise BadRequestError(f"the request has {len(sent)} Host headers; send exactly one")
        if not self._hosts or not sent:
            return
        name = sent[0].decode("latin-1").lower()
        name = name[: name.find("]") + 1] if name.startswith("[") else name.partition(":")[0]
        if name not in self._hosts:
            raise UnknownHostError(f"this service is not {name[:100]!r}")

    def _find_places(self, scope: Scope, route: RouteLimits) -> tuple[Shares, ...]:
        """Return what the request holds one place of each until its response ends."""
        if scope["path"] == ALIVE_PATH:
            return ()
        tenant = tenant_of(scope)
        _refuse_without_place(self._requests, tenant, "requests are being answered")
        if not route.is_event_stream or not _asks_for_events(scope):
            return (self._requests,)
        _refuse_without_place(self._streams, tenant, "event streams are open")
        return (self._requests, self._streams)


def _refuse_without_place(shares: Shares, tenant: str, what: str) -> None:
    if shares.free < 1:
        raise BusyError(f"{shares.capacity} {what}, and no more are at once; try again soon")
    held, most = shares.held(tenant), shares.most(tenant)
    if held < most:
        return
    if tenant == ANYBODY:
        raise BusyError(f"{held} {what} without a key, and no more are at once; try again soon")
    raise TooManyRequestsError(
        f"{held} {what} for the tenant, and one API process takes {most} now: its share of "
        f"{shares.capacity}. Send fewer at once",
        retry_after_seconds=_RETRY_SECONDS,
    )


def _check_encoding(scope: Scope) -> None:
    sent = b",".join(value for name, value in scope["headers"] if name == b"content-encoding")
    if {name.strip().lower() for name in sent.split(b",")} - {b"identity", b""}:
        shown = sent.decode("latin-1")[:100]
        raise UnsupportedEncodingError(f"the body is encoded as {shown!r}; send it unencoded")


def _asks_for_events(scope: Scope) -> bool:
    return any(name == b"accept" and _EVENT_STREAM in value for name, value in scope["headers"])
