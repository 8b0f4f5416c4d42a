"""One request, tried until it is answered: the flow that every other is made of."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from secateur.core.answers import code_of, parse, refuse_failure
from secateur.core.requests import Request
from secateur.core.steps import Answer, Flow, LostError, Send, Sleep
from secateur.errors import ConnectionFailedError

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.5, 8.0
LONGEST_RETRY_AFTER_SECONDS = 60.0
_TOO_MANY, _UNAVAILABLE = 429, 503
_UNFIT = 422


@dataclass
class Retries:
    """How often and when one request is tried again.

    Attributes:
        most: How many times at most, after the first.
        url: For the message when all fail.
        jitter: Gives a factor for each delay, so that clients do not come back all at once.
    """

    most: int
    url: str
    jitter: Callable[[], float] = field(default=lambda: random.uniform(0.75, 1.25))  # noqa: S311  # no secret
    _num_tried: int = 0

    def reset(self) -> None:
        """Begin to count again: there was progress."""
        self._num_tried = 0

    def after_loss(self, request: Request, lost: LostError) -> float:
        """Return how long to wait before another try.

        Raises:
            ConnectionFailedError: There is none.
        """
        if lost.was_sent and not request.endpoint.may_repeat:
            what = f"{request.endpoint.method} {request.path}"
            raise ConnectionFailedError(
                f"{self.url} went away before it had answered {what}, which may have been done: "
                f"look before you try again ({lost})"
            ) from lost
        if self._num_tried >= self.most:
            raise ConnectionFailedError(
                f"{self.url} cannot be reached, after {_tries(self._num_tried + 1)}: {lost}. Is "
                "`secateur serve` running there, and is the URL right (SECATEUR_URL)?"
            ) from lost
        return self._next_delay()

    def after_refusal(self, request: Request, answer: Answer) -> float | None:
        """Return how long to wait before another try; None if the answer stands."""
        if answer.status not in {_TOO_MANY, _UNAVAILABLE} or self._num_tried >= self.most:
            return None
        if code_of(answer) in request.endpoint.final_codes:
            return None
        delay = self._next_delay()
        asked = answer.headers.get("retry-after", "")
        if asked.isascii() and asked.isdecimal():
            delay = max(delay, float(asked[:9]))
        return min(delay, LONGEST_RETRY_AFTER_SECONDS)

    def _next_delay(self) -> float:
        delay: float = FIRST_DELAY_SECONDS * 2**self._num_tried
        self._num_tried += 1
        return min(delay, LONGEST_DELAY_SECONDS) * self.jitter()


@dataclass(frozen=True)
class Context:
    """What every flow of one client shares.

    Attributes:
        url: Of the service, for messages.
        most_retries: Of each request.
        clock: Seconds that only go up.
    """

    url: str
    most_retries: int
    clock: Callable[[], float] = time.monotonic

    def retries(self) -> Retries:
        """Return the count for one request."""
        return Retries(self.most_retries, self.url)


def call(context: Context, request: Request, probe: Request | None = None) -> Flow[Any]:
    """Send a request and return its answer, in the type that its endpoint declares.

    Args:
        context: Of the client.
        request: What is sent.
        probe: See `exchange`.

    Raises:
        ApiError: The service refuses it.
        ConnectionFailedError: No try came to an answer.
        UnexpectedAnswerError: It is answered with something else.
    """
    answer = yield from exchange(context, request, probe)
    return parse(answer, request.endpoint.answer)


def exchange(context: Context, request: Request, probe: Request | None = None) -> Flow[Answer]:
    """Send a request and return its successful answer as it came.

    Args:
        context: Of the client.
        request: What is sent.
        probe: Sent when ``request`` was lost. A service that refuses a large body unread hangs up,
            and its reason may be lost with the connection; the same request with a body that gets
            422 brings it to light.

    Raises:
        ApiError: The service refuses it.
        ConnectionFailedError: No try came to an answer.
        UnexpectedAnswerError: It leads elsewhere.
    """
    retries = context.retries()
    while True:
        delay: float | None
        try:
            answer: Answer = yield Send(request)
        except LostError as lost:
            delay = retries.after_loss(request, lost)
            if probe is not None:
                yield from _probe(probe)
        else:
            delay = retries.after_refusal(request, answer)
            if delay is None:
                refuse_failure(request.endpoint, answer)
                return answer
        yield Sleep(delay)


def _probe(request: Request) -> Flow[None]:
    """Raise if the service refuses the request for anything else than its body."""
    try:
        answer: Answer = yield Send(request)
    except LostError:
        return
    if answer.status not in {_UNFIT, _TOO_MANY, _UNAVAILABLE}:
        refuse_failure(request.endpoint, answer)


def _tries(number: int) -> str:
    return "1 try" if number == 1 else f"{number} tries"
