"""Refuse requests with an invalid head, and requests over the process's concurrency limits."""

import re
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from app.contracts.errors import ServiceError
from app.contracts.settings import HttpSettings
from app.http.errors import (
    BadRequestError,
    BusyError,
    HeadersTooLargeError,
    UnknownHostError,
    UnsupportedEncodingError,
    UrlTooLongError,
)
from app.http.limits import LimitsByPath
from app.http.problems import problem

ALIVE_PATH = "/healthz"  # exempt from the concurrency limits
_EVENT_STREAM = b"text/event-stream"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUL = re.compile(rb"%00|\x00")
_HEADER_OVERHEAD = len(": \r\n")


class _Slots(NamedTuple):
    """Slots held by one request until its response ends."""

    requests: int
    streams: int


class GateMiddleware:
    """ASGI middleware that admits a request or answers with a problem."""

    def __init__(
        self, app: ASGIApp, http: HttpSettings, hosts: tuple[str, ...], by_path: LimitsByPath
    ) -> None:
        """Wrap ``app``.

        Args:
            app: The wrapped application.
            http: Limits on URLs, headers, requests and streams.
            hosts: Accepted Host names; empty accepts any.
            by_path: Limits declared by routes.
        """
        self._app, self._http, self._by_path = app, http, by_path
        self._hosts = frozenset(host.lower() for host in hosts)
        self._num_requests = self._num_streams = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
            held = self._take_slots(scope)
        except ServiceError as error:
            await problem(scope, error)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._num_requests -= held.requests
            self._num_streams -= held.streams

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
        encodings = [value for name, value in headers if name == b"content-encoding"]
        if encodings and not self._by_path.find(scope["path"]).may_be_compressed:
            _check_encoding(b",".join(encodings))

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

    def _take_slots(self, scope: Scope) -> _Slots:
        if scope["path"] == ALIVE_PATH:
            return _Slots(0, 0)
        if self._num_requests >= self._http.concurrent_requests:
            raise BusyError(
                f"the service is answering {self._num_requests} requests, its limit; try again soon"
            )
        is_stream = self._by_path.find(scope["path"]).is_event_stream and _asks_for_events(scope)
        if is_stream and self._num_streams >= self._http.event_streams:
            raise BusyError(
                f"the service has {self._num_streams} open event streams, its limit; try again soon"
            )
        self._num_requests += 1
        self._num_streams += is_stream
        return _Slots(1, int(is_stream))


def _check_encoding(sent: bytes) -> None:
    names = {name.strip().lower() for name in sent.split(b",")}
    if names - {b"identity", b""}:
        shown = sent.decode("latin-1")[:100]
        raise UnsupportedEncodingError(f"the body is encoded as {shown!r}; send it unencoded")


def _asks_for_events(scope: Scope) -> bool:
    return any(name == b"accept" and _EVENT_STREAM in value for name, value in scope["headers"])
