"""Event streams: parsing, resuming after interruptions, and the end of the job."""

import json
from typing import Any

import pytest

from secateur.core.events import Lines, follow
from secateur.core.steps import Answer
from secateur.errors import ConnectionFailedError, NotFoundError, UnexpectedAnswerError
from tests.unit.client.script import (
    ARRIVED,
    CONTEXT,
    SILENT,
    Chunks,
    Script,
    job,
    ok,
    problem,
)

STREAM = Answer(200, {"content-type": "text/event-stream"})


def event(number: int, kind: str = "progress", **data: Any) -> bytes:
    body = {"object": "event", "number": number, "type": kind, "data": data, "created_at": None}
    text = json.dumps(body, ensure_ascii=False)
    return f"id: {number}\nevent: {kind}\ndata: {text}\n\n".encode()


def followed(*outcomes: Any, after: int = 0) -> Script:
    script = Script(outcomes)
    script.run(follow(CONTEXT, "job_1", after))
    return script


def numbers(script: Script) -> list[int]:
    return [found.number for found in script.emitted]


def test_a_stream_that_breaks_off_goes_on_after_the_last_event() -> None:
    first: Chunks = [event(1), event(2), ARRIVED]
    rest: Chunks = [event(3), event(4, "job.succeeded")]
    script = followed((STREAM, first), (STREAM, rest))
    assert numbers(script) == [1, 2, 3, 4]
    sent = [request.headers.get("last-event-id") for request in script.requests]
    assert sent == [None, "2"]


def test_pieces_may_be_cut_anywhere_and_text_may_hold_anything() -> None:
    whole = (
        b": comment\n\n" + event(1, message="a\u2028b\x85 ü 漢") + event(2).replace(b"\n", b"\r\n")
    )
    for size in (1, 2, 7, len(whole)):
        lines = Lines()
        pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
        found = [found for piece in pieces for found in lines.feed(piece)]
        assert [e.number for e in found] == [1, 2]
        assert found[0].data["message"] == "a\u2028b\x85 ü 漢"


def test_a_silent_job_has_no_timeout() -> None:
    silence: list[Any] = [(STREAM, [SILENT]) for _ in range(20)]
    script = followed(*silence, (STREAM, [event(1, "job.cancelled")]))
    assert numbers(script) == [1]


def test_a_stream_that_cannot_be_opened_is_given_up() -> None:
    with pytest.raises(ConnectionFailedError):
        followed(*[ARRIVED] * 4)
    with pytest.raises(ConnectionFailedError):
        followed(*[(STREAM, [ARRIVED]) for _ in range(4)])
    with pytest.raises(NotFoundError):
        followed(problem(404, "not_found"))


def test_progress_makes_up_for_losses() -> None:
    pieces: list[Any] = [(STREAM, [event(number), ARRIVED]) for number in range(1, 9)]
    script = followed(*pieces, (STREAM, [event(9, "job.failed")]))
    assert numbers(script) == list(range(1, 10))


def test_too_many_streams_are_waited_for() -> None:
    script = followed(problem(429, "too_many_streams", "3"), (STREAM, [event(1, "job.expired")]))
    assert script.sleeps == [3]


def test_following_a_job_from_its_end_ends() -> None:
    script = followed((STREAM, []), ok(job(status="succeeded")), after=9)
    assert numbers(script) == []
    script = followed(
        (STREAM, []), ok(job(status="running")), (STREAM, [event(10, "job.succeeded")]), after=9
    )
    assert numbers(script) == [10]


def test_data_that_are_not_events_are_reported() -> None:
    with pytest.raises(UnexpectedAnswerError, match="not an event"):
        list(Lines().feed(b"data: {}\n\n"))
