"""Flows: operations of several requests as generators of steps, written once for both clients.

A flow yields a step and receives its outcome. `secateur.core.transport` executes the steps by
blocking, `secateur.core.async_transport` by awaiting. A lost request raises `LostError` at the
``yield``.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from secateur.core.requests import Request

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: The HTTP status.
        headers: Headers, with names in lower case.
        body: The whole body; empty if a sink received it.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class LostError(Exception):
    """A request got no response.

    Args:
        reason: What went wrong.
        was_sent: Whether the request may have arrived.
        is_silence: Whether the read timeout ended it.
    """

    def __init__(self, reason: str, *, was_sent: bool, is_silence: bool = False) -> None:
        super().__init__(reason)
        self.was_sent, self.is_silence = was_sent, is_silence


class Sink(Protocol):
    """Receives the body of a successful response in chunks, off the event loop."""

    def begin(self, answer: Answer) -> None:
        """Check the response's headers; raise if the body is not wanted."""

    def write(self, chunk: bytes) -> None:
        """Write the next chunk."""

    def report(self) -> None:
        """Report the progress to the user, on the event loop."""


@dataclass(frozen=True)
class Send:
    """Send a request and read the whole response. Outcome: an `Answer`."""

    request: Request


@dataclass(frozen=True)
class Fetch:
    """Send a request; a successful response's body goes to a sink. Outcome: an `Answer`."""

    request: Request
    sink: Sink


@dataclass(frozen=True)
class Sleep:
    """Wait for some seconds. Outcome: None."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Call a function that reads or writes files. Outcome: its return value."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Open:
    """Send a request and open its response as a stream, which `Read` reads.

    Outcome: an `Answer`; its body is complete if the request failed.
    """

    request: Request


@dataclass(frozen=True)
class Read:
    """Read the next chunk of the open stream. Outcome: bytes, empty at the end."""


@dataclass(frozen=True)
class Emit:
    """Pass a value to the caller who iterates over the flow. Outcome: None."""

    value: Any


Step = Send | Fetch | Sleep | Work | Open | Read | Emit
Flow = Generator[Step, Any, T]


def work(function: Callable[[], T]) -> Flow[T]:
    """Call a function off the event loop and return its result."""
    result: T = yield Work(function)
    return result
