"""W3C trace context: the id of a client's trace, from its request through a job to the log.

A ``traceparent`` header carries it. Requests without the header get no trace id; requests and jobs
have their own ids.
"""

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass

import structlog

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_INVALID_VERSION = "ff"
_created_jobs: ContextVar[list[str] | None] = ContextVar("created_jobs", default=None)
_trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)


@dataclass(frozen=True)
class TraceParent:
    """A client's span: ids of its trace and its own, of 32 and 16 hexadecimal digits, and flags."""

    trace_id: str
    span_id: str
    flags: str

    def child(self) -> str:
        """Return the ``traceparent`` header of a new span in the trace."""
        return f"00-{self.trace_id}-{secrets.token_hex(8)}-{self.flags}"


def parse_traceparent(value: str) -> TraceParent | None:
    """Parse a ``traceparent`` header; return None if it is invalid, as the standard requires."""
    match = _TRACEPARENT.fullmatch(value)
    if match is None:
        return None
    version, trace_id, parent, flags, rest = match.groups()
    if version == _INVALID_VERSION or (version == "00" and rest):
        return None
    if not int(trace_id, 16) or not int(parent, 16):
        return None
    return TraceParent(trace_id, parent, flags)


def current_request_id() -> str | None:
    """Return the id of the request that is handled."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return None if found is None else str(found)


def collect_jobs() -> list[str]:
    """Return a list that gets the ids of the jobs that this request creates, in any thread."""
    jobs: list[str] = []
    _created_jobs.set(jobs)
    return jobs


def note_job(job_id: str) -> None:
    """Add a job to those that this request creates."""
    jobs = _created_jobs.get()
    if jobs is not None:
        jobs.append(job_id)


def current_trace_id() -> str | None:
    """Return the id of the trace that this request or job belongs to."""
    return _trace_id.get()


def enter_trace(trace_id: str | None) -> None:
    """Set the trace of this context and its log lines; None: no trace."""
    _trace_id.set(trace_id)
    if trace_id is None:
        structlog.contextvars.unbind_contextvars("trace_id")
    else:
        structlog.contextvars.bind_contextvars(trace_id=trace_id)
