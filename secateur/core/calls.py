"""One request with its retries: the flow that all other flows are built from."""

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
    """Counts the retries of one request and computes their delays.

    Attributes:
        most: The largest number of retries.
        url: The service's URL, for messages.
        jitter: Returns a random factor for each delay, so that clients do not retry in step.
    """

    most: int
    url: str
    jitter: Callable[[], float] = field(default=lambda: random.uniform(0.75, 1.25))  # noqa: S311  # no secret
    _num_tried: int = 0

    def reset(self) -> None:
        """Restart the count after progress."""
        self._num_tried = 0

    def after_loss(self, request: Request, lost: LostError) -> float:
        """Return the delay before the next retry, in seconds.

        Raises:
            ConnectionFailedError: No retry is left, or a retry could repeat the request's effect.
        """
        if lost.was_sent and not request.endpoint.may_repeat:
            what = f"{request.endpoint.method} {request.path}"
            raise ConnectionFailedError(
                f"{self.url} closed the connection before it answered {what}, which may have been "
                f"done: check before you try again ({lost})"
            ) from lost
        if self._num_tried >= self.most:
            raise ConnectionFailedError(
                f"{self.url} cannot be reached, after {_tries(self._num_tried + 1)}: {lost}. Is "
                "`secateur serve` running there, and is the URL right (SECATEUR_URL)?"
            ) from lost
        return self._next_delay()

    def after_refusal(self, request: Request, answer: Answer) -> float | None:
        """Return the delay before the next retry, or None if the response is final."""
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
    """Values that all flows of one client share.

    Attributes:
        url: The service's URL, for messages.
        most_retries: The largest number of retries of one request.
        clock: A monotonic clock, in seconds.
    """

    url: str
    most_retries: int
    clock: Callable[[], float] = time.monotonic

    def retries(self) -> Retries:
        """Return a new retry counter for one request."""
        return Retries(self.most_retries, self.url)


def call(context: Context, request: Request, probe: Request | None = None) -> Flow[Any]:
    """Send a request and return its response in the type that the endpoint declares.

    Args:
        context: The client's context.
        request: The request to send.
        probe: See `exchange`.

    Raises:
        ApiError: The service refused the request.
        ConnectionFailedError: All tries failed.
        UnexpectedAnswerError: The response does not have the declared type.
    """
    answer = yield from exchange(context, request, probe)
    return parse(answer, request.endpoint.answer)


def exchange(context: Context, request: Request, probe: Request | None = None) -> Flow[Answer]:
    """Send a request and return its successful response unparsed.

    Args:
        context: The client's context.
        request: The request to send.
        probe: A request to send if ``request`` is lost. A service that refuses a large body unread
            closes the connection, and its reason may be lost. The same request with an empty body,
            which gets 422, reveals the reason.

    Raises:
        ApiError: The service refused the request.
        ConnectionFailedError: All tries failed.
        UnexpectedAnswerError: The response is a redirect.
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
    """Raise if the service refuses the request for any reason but its body."""
    try:
        answer: Answer = yield Send(request)
    except LostError:
        return
    if answer.status not in {_UNFIT, _TOO_MANY, _UNAVAILABLE}:
        refuse_failure(request.endpoint, answer)


def _tries(number: int) -> str:
    return "1 try" if number == 1 else f"{number} tries"
