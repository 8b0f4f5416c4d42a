"""Request ids, default headers, a log line per request, and 500 for unexpected errors."""

import random
import time
from collections.abc import Sequence
from typing import NamedTuple

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.contracts.errors import AbandonedError
from app.http.headers import complete_headers, find_header
from app.http.hot import HotRoute
from app.http.problems import unexpected_problem
from app.telemetry.metrics import UNKNOWN_ROUTE, Metrics
from app.telemetry.spans import Span, Spans, trace_id_of
from app.telemetry.tracing import TraceParent, collect_jobs, enter_trace, parse_traceparent

log = structlog.get_logger(__name__)

_CLIENT_DISCONNECTED = 499  # nginx's code; appears in logs and metrics only
_FIRST_ERROR = 400
_PROBES = {"/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class RequestMiddleware:
    """ASGI middleware that assigns a request id and logs the outcome."""

    def __init__(self, app: ASGIApp, metrics: Metrics, spans: Spans) -> None:
        self._app, self._metrics, self._spans = app, metrics, spans
        # Ids are not secrets, so avoid a system call for each.
        self._random = random.Random()  # noqa: S311

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        trace = _trace_of(scope)
        enter_trace(None if trace is None else trace.trace_id)
        with self._spans.request(scope["method"], request_id, trace) as span:
            if span is not None:
                enter_trace(trace_id_of(span))
            await self._answer(scope, receive, send, _Asked(request_id, trace, span))

    async def _answer(self, scope: Scope, receive: Receive, send: Send, asked: "_Asked") -> None:
        request_id, trace = asked.id, asked.trace
        jobs = collect_jobs()
        started, status = time.perf_counter(), 500
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, has_started
            if message["type"] == "http.response.start":
                status, has_started = int(message["status"]), True
                complete_headers(message, request_id)
                if trace is not None:
                    message["headers"].append((b"traceparent", trace.child().encode()))
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except (ClientDisconnect, AbandonedError):
            status = _CLIENT_DISCONNECTED
        except Exception:
            log.exception("request.failed")
            if has_started:  # too late for an error response: the server closes the connection
                raise
            await unexpected_problem(scope)(scope, receive, send_with_headers)
        finally:
            self._finish(scope, status, time.perf_counter() - started, jobs)
            if asked.span is not None:
                _describe(asked.span, scope, status, jobs)

    def _new_id(self) -> str:
        return f"req_{self._random.getrandbits(104):026x}"

    def _finish(self, scope: Scope, status: int, seconds: float, jobs: Sequence[str]) -> None:
        method, route = scope["method"], scope.get("route")
        self._metrics.observe_request(
            method if method in _METHODS else "other",
            UNKNOWN_ROUTE if route is None else route.path,
            status,
            seconds,
        )
        # Metrics count successful inferences; a log line for each took a tenth of the time.
        is_probe = scope["path"] in _PROBES  # several a minute, for ever
        is_routine = (isinstance(route, HotRoute) or is_probe) and status < _FIRST_ERROR
        named = {"job_id": jobs[0]} if jobs else {}
        if len(jobs) > 1:
            named["num_jobs"] = str(len(jobs))
        (log.debug if is_routine else log.info)(
            "request.done",
            method=method,
            path=scope["path"],
            status=status,
            seconds=round(seconds, 4),
            **named,
        )


class _Asked(NamedTuple):
    """A request's id, its client's trace and its span, where there are any."""

    id: str
    trace: TraceParent | None
    span: Span | None


def _describe(span: Span, scope: Scope, status: int, jobs: Sequence[str]) -> None:
    """Write to a span what is known at the end of its request, in OpenTelemetry's names."""
    route = scope.get("route")
    path = UNKNOWN_ROUTE if route is None else route.path
    span.update_name(f"{scope['method']} {path}")
    span.set_attribute("http.request.method", scope["method"])
    span.set_attribute("http.route", path)
    span.set_attribute("http.response.status_code", status)
    if jobs:
        span.set_attribute("secateur.job", jobs[0])


def _trace_of(scope: Scope) -> TraceParent | None:
    value = find_header(scope, b"traceparent")
    return None if value is None else parse_traceparent(value.decode("latin-1"))
