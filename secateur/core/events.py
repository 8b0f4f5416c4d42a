"""Follows a job's server-sent events, and resumes broken streams."""

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
_LONGEST_EVENT_BYTES = 16 * 1024**2


def follow(context: Context, job_id: str, after: int) -> Flow[None]:
    """Emit every event after a number, until the job has ended.

    Raises:
        ApiError: The job does not exist, or the key may not read it.
        ConnectionFailedError: The stream broke and could not be reopened.
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
            # The stream of a queued job is silent, and our own timeout ends silent streams.
            delay = _REOPEN_SECONDS if lost.is_silence else retries.after_loss(request, lost)
        if has_closed and num_events == 0:
            job: JobData = yield from call(context, make_request(READ_JOB, job_id))
            if job.is_final:
                return  # the final event's number is not above `after`
        yield Sleep(_REOPEN_SECONDS if delay is None else delay)


class Lines:
    """Incremental parser of an event stream."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._num_bytes = 0  # of the event that is incomplete

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that are complete after this chunk.

        Raises:
            UnexpectedAnswerError: The data are not an event of this service, or too long.
        """
        self._num_bytes += len(chunk)
        if self._num_bytes > _LONGEST_EVENT_BYTES:
            raise UnexpectedAnswerError(
                f"the stream has an event of more than {_LONGEST_EVENT_BYTES:,} bytes"
            )
        first, *more = chunk.split(b"\n")
        self._rest += first
        for rest in more:
            line, self._rest = bytes(self._rest), bytearray(rest)
            name, _, value = line.removesuffix(b"\r").partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            elif not name and not value:
                self._num_bytes = len(self._rest)
                if self._data:
                    data, self._data = b"\n".join(self._data), []
                    yield _event(data)


def _event(data: bytes) -> Event:
    try:
        return Event.model_validate_json(data)
    except ValidationError as error:
        raise UnexpectedAnswerError(
            f"the stream has data that are not an event: {data[:200]!r}"
        ) from error


def _request(job_id: str, number: int) -> Request:
    headers = {"last-event-id": str(number)} if number else {}
    return make_request(FOLLOW_JOB, job_id, headers=headers)
