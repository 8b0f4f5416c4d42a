"""What happens to every request: an id, a body limit, safe headers, one line in the log."""

import time
from collections.abc import Callable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.contracts.errors import TooLargeError
from app.contracts.ids import new_id
from app.contracts.settings import LimitSettings

log = structlog.get_logger(__name__)

# Multipart boundaries and part headers on top of the file itself.
_ENVELOPE_BYTES = 64 * 1024


class RequestMiddleware:
    """Gives every request an id, and logs how it ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started, status = time.perf_counter(), 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            log.info(
                "request.done",
                method=scope["method"],
                path=scope["path"],
                status=status,
                seconds=round(time.perf_counter() - started, 4),
            )


class BodyLimitMiddleware:
    """Counts the body as it streams in and refuses what is past the route's limit."""

    def __init__(self, app: ASGIApp, limits: LimitSettings) -> None:
        self._app, self._limit_of = app, _limit_of(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit_of(scope["path"])
        declared = Headers(scope=scope).get("content-length", "")
        num_bytes = 0

        async def counted() -> Message:
            nonlocal num_bytes
            if declared.isdigit() and int(declared) > limit:
                raise TooLargeError(f"the body has {declared} bytes, at most {limit} are accepted")
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > limit:
                raise TooLargeError(f"the body has more than the {limit} bytes that are accepted")
            return message

        await self._app(scope, counted, send)


def _limit_of(limits: LimitSettings) -> Callable[[str], int]:
    by_path = {
        "/v1/models": limits.model_bytes,
        "/v1/datasets": limits.dataset_bytes,
        "/v1/jobs": limits.model_bytes + limits.dataset_bytes,
    }

    def limit_of(path: str) -> int:
        if path in by_path:
            return by_path[path] + _ENVELOPE_BYTES
        return limits.infer_bytes if path.endswith("/infer") else limits.json_bytes

    return limit_of
