"""Following what happens to a job: server-sent events, taken up again where they broke off."""

from collections.abc import Iterator

from pydantic import ValidationError

from secateur.core.answers import refuse_failure
from secateur.core.calls import Context, call
from secateur.core.endpoints import FOLLOW_JOB, READ_JOB
from secateur.core.requests import Request, make_request
from secateur.core.steps import Answer, Emit, Flow, LostError, Open, Read, Sleep
from secateur.errors import UnexpectedAnswerError
from secateur.types import FINAL_STATUSES, Event, JobData

_FINAL_TYPES = frozenset(f"job.{status}" for status in FINAL_STATUSES)
_REOPEN_SECONDS = 0.5


def follow(context: Context, job_id: str, after: int) -> Flow[None]:
    """Emit every event after a number, and end with the job.

    Raises:
        ApiError: There is no such job, or it may not be read.
        ConnectionFailedError: The stream breaks off and cannot be opened again.
    """
    retries, number = context.retries(), after
    while True:
        request, lines, num_events = _request(job_id, number), Lines(), 0
        delay: float | None = _REOPEN_SECONDS
        has_closed = False
        try:
            answer: Answer = yield Open(request)
            delay = retries.after_refusal(request, answer)
            if delay is None:
                refuse_failure(FOLLOW_JOB, answer)
                while chunk := (yield Read()):
                    for event in lines.feed(chunk):
                        number, num_events = event.number, num_events + 1
                        retries.reset()
                        yield Emit(event)
                        if event.type in _FINAL_TYPES:
                            return
                has_closed = True
        except LostError as lost:
            # A job that waits in line is silent, and silence is cut off by our own timeout.
            delay = _REOPEN_SECONDS if lost.is_silence else retries.after_loss(request, lost)
        if has_closed and num_events == 0:
            job: JobData = yield from call(context, make_request(READ_JOB, job_id))
            if job.is_final:
                return  # it had ended before the event that we went on after
        yield Sleep(_REOPEN_SECONDS if delay is None else delay)


class Lines:
    """Takes an event stream byte by byte and gives the events that are whole."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that end in this piece.

        Raises:
            UnexpectedAnswerError: One of them is none.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            name, _, value = line.removesuffix(b"\r").partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            elif not name and not value and self._data:
                data, self._data = b"\n".join(self._data), []
                yield _event(data)


def _event(data: bytes) -> Event:
    try:
        return Event.model_validate_json(data)
    except ValidationError as error:
        raise UnexpectedAnswerError(f"the stream holds what is no event: {data[:200]!r}") from error


def _request(job_id: str, number: int) -> Request:
    headers = {"last-event-id": str(number)} if number else {}
    return make_request(FOLLOW_JOB, job_id, headers=headers)
