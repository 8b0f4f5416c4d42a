"""Load shedding before parsing: refuse requests unread while a model's queue is full.

Reading a request, checking its key and decoding its tensors cost far more than the rest of a
refusal. Under a flood no time would be left to compute accepted requests (record 21).

When a queue is full, or too long for a request's deadline, a guard covers requests with the same
request line and key. They are read only if the queue would accept them; otherwise the connection
repeats the refusal. A guard ends one second after its last refusal.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from starlette.responses import Response
from starlette.types import Message, Scope

from app.contracts.errors import Demand, OverloadedError
from app.http.headers import complete_headers
from app.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

_MOST_GUARDED = 1000
_CALM_SECONDS = 1.0
_MOST_BODY_BYTES = 1024 * 1024  # a larger body is not worth reading only to discard
_SPECIAL = (b"expect", b"origin", b"transfer-encoding")  # headers that need the full stack

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class _Guard:
    demand: Demand
    refused_at: float
    head: bytes  # after the status line
    body: bytes
    request_id: bytes  # replaced in head and body for each refusal
    route: str


class Shedding:
    """Decides which requests to refuse unread. Not thread-safe: one event loop only."""

    def __init__(self, metrics: Metrics, accepts: Callable[[Demand, int], bool]) -> None:
        """Start without guards.

        Args:
            metrics: Counts shed requests.
            accepts: Returns whether a model's queue would accept a request behind the given number
                of others.
        """
        self._metrics, self._accepts = metrics, accepts
        self._guards: dict[tuple[bytes, bytes], _Guard] = {}
        self._random = random.Random()  # noqa: S311  # ids, not secrets

    def guard(self, scope: Scope, response: Response, error: OverloadedError) -> None:
        """Refuse requests like this one unread until the queue accepts them again."""
        query: bytes = scope["query_string"]
        names_model = scope.get("path_params") or b"model=" in query  # not in the body
        if error.demand is None or scope["method"] != "POST" or not names_model:
            return
        request_id: str = scope["state"]["request_id"]
        message: Message = {"headers": list(response.raw_headers)}
        complete_headers(message, request_id)
        if len(self._guards) >= _MOST_GUARDED:
            self._guards.clear()
        url = scope["raw_path"] + (b"?" + query if query else b"")
        self._guards[url, _bearer(scope["headers"])] = _Guard(
            error.demand,
            asyncio.get_running_loop().time(),
            b"".join(b"%s: %s\r\n" % pair for pair in message["headers"]),
            bytes(response.body),
            request_id.encode(),
            scope["route"].path,
        )
        log.info("requests.shed", path=scope["path"], reason=error.message)

    def refusal(
        self, method: bytes, url: bytes, headers: Headers, num_before: int
    ) -> tuple[bytes, bytes] | None:
        """Return the head and the body of a refusal, or None if the request must be read.

        Args:
            method: HTTP method.
            url: Request target.
            headers: Request headers.
            num_before: Requests being read that are not queued yet.

        Returns:
            The head without status line and connection-level headers, and the body.
        """
        if not self._guards or method != b"POST":  # the common case
            return None
        key = (url, _bearer(headers))
        guard = self._guards.get(key)
        if guard is None or not _is_plain(headers):
            return None
        now = asyncio.get_running_loop().time()
        if now - guard.refused_at > _CALM_SECONDS:
            del self._guards[key]
            return None
        if self._accepts(guard.demand, num_before):
            return None
        guard.refused_at = now
        status = HTTPStatus.SERVICE_UNAVAILABLE.value
        self._metrics.rejections.labels("shed").inc()
        self._metrics.observe_request("POST", guard.route, status, 0.0)
        fresh = b"req_%026x" % self._random.getrandbits(104)
        old = guard.request_id
        return guard.head.replace(old, fresh), guard.body.replace(old, fresh)


def _bearer(headers: Headers) -> bytes:
    return next((value for name, value in headers if name == b"authorization"), b"")


def _is_plain(headers: Headers) -> bool:
    for name, value in headers:
        if name in _SPECIAL:
            return False
        if name == b"content-length" and not (
            value.isdigit() and int(value[:20]) <= _MOST_BODY_BYTES
        ):
            return False
    return True
