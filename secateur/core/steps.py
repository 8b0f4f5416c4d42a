"""What takes several requests, as generators of steps: written once, for both clients.

A flow yields a step and gets back what came of it; `secateur.core.transport` does the steps, by
waiting or by awaiting. A request that is lost on the way is raised where it was yielded.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from secateur.core.requests import Request

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: Of HTTP.
        headers: Names in lower case.
        body: All of it; empty where a sink took it.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class LostError(Exception):
    """A request did not come to an answer.

    Args:
        reason: What went wrong.
        was_sent: Whether it may have arrived.
        is_silence: Whether it was given up because nothing came for a while.
    """

    def __init__(self, reason: str, *, was_sent: bool, is_silence: bool = False) -> None:
        super().__init__(reason)
        self.was_sent, self.is_silence = was_sent, is_silence


class Sink(Protocol):
    """Takes the body of a successful answer, piece by piece, off the event loop."""

    def begin(self, answer: Answer) -> None:
        """Look at the head of the answer; raise if its body is not what is wanted."""

    def write(self, chunk: bytes) -> None:
        """Take the next piece."""

    def report(self) -> None:
        """Tell the user how far it is; on the event loop."""


@dataclass(frozen=True)
class Send:
    """Send a request; the answer's body comes whole. Gives an `Answer`."""

    request: Request


@dataclass(frozen=True)
class Fetch:
    """Send a request whose body goes to a sink if it succeeds. Gives an `Answer`."""

    request: Request
    sink: Sink


@dataclass(frozen=True)
class Sleep:
    """Wait for some seconds. Gives None."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Call something that reads or writes files. Gives what it returns."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Open:
    """Send a request whose answer is read as it comes. Gives an `Answer`, whole if it failed."""

    request: Request


@dataclass(frozen=True)
class Read:
    """Read on in what was opened. Gives bytes; none at the end."""


@dataclass(frozen=True)
class Emit:
    """Hand something to whoever iterates. Gives None."""

    value: Any


Step = Send | Fetch | Sleep | Work | Open | Read | Emit
Flow = Generator[Step, Any, T]


def work(function: Callable[[], T]) -> Flow[T]:
    """Call something off the event loop, and return what it returns."""
    result: T = yield Work(function)
    return result
