"""OpenTelemetry spans, from a request through its job to each stage. Off unless an endpoint is set.

A job's row holds the id of its trace and of its request. The id of a request's span is taken from
the id of the request, so the worker knows the parent of a job's span without another column.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, cast

from app.contracts.settings import TracingSettings
from app.telemetry.tracing import TraceParent

_forced_span_id: ContextVar[int | None] = ContextVar("forced_span_id", default=None)

Attributes = Mapping[str, str | int]


class Span(Protocol):
    """A span that has begun."""

    def set_attribute(self, key: str, value: str | int) -> Any:  # noqa: ANN401  # OpenTelemetry's
        """Add an attribute."""

    def update_name(self, name: str) -> Any:  # noqa: ANN401
        """Change the name."""

    def get_span_context(self) -> Any:  # noqa: ANN401
        """Return the ids of the span and its trace."""

    def end(self) -> None:
        """End the span now."""


class Spans:
    """Spans of one process; without a tracer it makes none.

    Args:
        provider: OpenTelemetry's provider of tracers; None: no spans.
    """

    def __init__(self, provider: Any = None) -> None:  # noqa: ANN401  # an optional package's
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer("secateur")

    @contextmanager
    def request(
        self, name: str, request_id: str, parent: TraceParent | None
    ) -> Iterator[Span | None]:
        """Span of a request, below that of the client if it sent one."""
        if self._tracer is None:
            yield None
            return
        token = _forced_span_id.set(int(span_id_of(request_id), 16))
        try:
            context = None if parent is None else _context(parent.trace_id, parent.span_id)
            span = self._begin(name, context, {})
        finally:
            _forced_span_id.reset(token)
        try:
            yield span
        finally:
            span.end()

    @contextmanager
    def job(
        self, name: str, trace_id: str | None, request_id: str | None, attributes: Attributes
    ) -> Iterator[Span | None]:
        """Span of an attempt at a job, below that of the request that posted it."""
        if self._tracer is None:
            yield None
            return
        parent = None
        if trace_id is not None:
            parent = _context(trace_id, span_id_of(request_id or trace_id))
        span = self._begin(name, parent, attributes)
        try:
            yield span
        finally:
            span.end()

    def begin_stage(self, name: str, parent: Any) -> Any:  # noqa: ANN401  # OpenTelemetry's
        """Begin a span below a job's; the caller ends it."""
        if self._tracer is None or parent is None:
            return None
        from opentelemetry import trace  # noqa: PLC0415  # optional

        return self._begin(name, trace.set_span_in_context(parent), {})

    def close(self) -> None:
        """Export what is left."""
        if self._provider is not None:
            self._provider.shutdown()

    def _begin(self, name: str, context: Any, attributes: Attributes) -> Any:  # noqa: ANN401
        assert self._tracer is not None  # noqa: S101  # checked by the callers
        return self._tracer.start_span(name, context=context, attributes=dict(attributes))


def create_spans(tracing: TracingSettings, service: str) -> Spans:
    """Return the spans of a process, exported over OTLP, if an endpoint is set.

    Raises:
        ValueError: The packages are not installed.
    """
    if tracing.endpoint is None:
        return Spans()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise ValueError(
            f"SECATEUR_TRACING__ENDPOINT is set, but {error.name} is not installed: "
            "pip install 'secateur[tracing]'"
        ) from error
    processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=tracing.endpoint))
    return Spans(create_provider(tracing, service, processor))


def create_provider(tracing: TracingSettings, service: str, processor: Any) -> Any:  # noqa: ANN401
    """Return OpenTelemetry's provider of tracers for a process."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # optional
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased  # noqa: PLC0415

    provider = TracerProvider(
        sampler=TraceIdRatioBased(tracing.share),  # by the trace's id: the same in every process
        resource=Resource.create({"service.name": service}),
        id_generator=cast("Any", _Ids()),  # its base class is in the optional package
        shutdown_on_exit=False,
    )
    provider.add_span_processor(processor)
    return provider


def trace_id_of(span: Span) -> str:
    """Return the id of a span's trace: 32 hexadecimal digits."""
    return f"{span.get_span_context().trace_id:032x}"


def span_id_of(request_id: str) -> str:
    """Return the id of a request's span: 16 hexadecimal digits."""
    return hashlib.sha256(request_id.encode()).hexdigest()[:16]


class _Ids:
    """OpenTelemetry's interface of id generators."""

    def generate_span_id(self) -> int:
        forced = _forced_span_id.get()
        return secrets.randbits(64) or 1 if forced is None else forced

    def generate_trace_id(self) -> int:
        return secrets.randbits(128) or 1

    def is_trace_id_random(self) -> bool:
        return True


def _context(trace_id: str, span_id: str) -> Any:  # noqa: ANN401  # OpenTelemetry's
    from opentelemetry import trace  # noqa: PLC0415  # optional

    parent = trace.SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))
