"""The pipe of a job's process: bounded lines, bounded pace, and nothing that a database refuses."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.contracts.settings import OutputSettings
from worker.message_reader import MessageReader, MessageRefusedError, NotAMessageError
from worker.messages import MOST_CHARACTERS, Message, Metric, Succeeded, Warned, shorten

WARNING = {"type": "warning", "message": "x"}
DONE = {"type": "succeeded", "result": {}, "report": {}}


class Pipe:
    """A pipe with a reader on one end."""

    def __init__(self, **limits: Any) -> None:
        self.got: list[Message] = []
        descriptor, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        self.reader = MessageReader(descriptor, self.got.extend, OutputSettings(**limits))
        self.descriptors = [descriptor, self.writer]

    def send(self, *messages: object) -> None:
        for message in messages:
            text = message if isinstance(message, bytes) else json.dumps(message).encode()
            os.write(self.writer, text + b"\n")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe(message_bytes=5000, result_bytes=20_000, summary_bytes=10_000)
    yield made
    for descriptor in made.descriptors:
        os.close(descriptor)


def test_messages_are_passed_on_and_the_last_one_is_returned(pipe: Pipe) -> None:
    pipe.send(WARNING, DONE, WARNING)
    assert isinstance(pipe.reader.read(), Succeeded)
    assert pipe.got == [Warned(message="x")]


def test_a_message_may_arrive_in_parts(pipe: Pipe) -> None:
    os.write(pipe.writer, b'{"type": "warn')
    assert pipe.reader.read() is None
    os.write(pipe.writer, b'ing", "message": "x"}\n{"type')
    assert pipe.reader.read() is None
    assert pipe.got == [Warned(message="x")]


def test_a_closed_pipe_is_the_end(pipe: Pipe) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), pipe.writer)
    with pytest.raises(EOFError):
        pipe.reader.read()


@pytest.mark.parametrize("line", [b"", b"\xff", b"{", b"[" * 4000, b'{"type": NaN}'])
def test_what_is_not_json_is_not_a_message(pipe: Pipe, line: bytes) -> None:
    pipe.send(WARNING, line)
    with pytest.raises(NotAMessageError):
        pipe.reader.read()
    assert len(pipe.got) == 1, "the one before it is passed on"


LONG = "x" * (MOST_CHARACTERS + 1)
FINDING = {"code": "a", "severity": "notice"}
PROGRESS = {"type": "progress", "fraction": 0, "step": 0, "num_steps": 1, "message": ""}
FILE = {"name": "a.bin", "media_type": "application/octet-stream"}


@pytest.mark.parametrize(
    "message",
    [
        7,
        [],
        {"type": "other"},
        {"type": "stage", "stage": "x" * 100},
        WARNING | {"message": LONG},
        WARNING | {"replaces": LONG},
        WARNING | {"code": "a"},
        WARNING | {"severity": "notice"},
        WARNING | FINDING | {"code": "x" * 65},
        WARNING | {"other": 1},
        WARNING | {"message": "\0"},
        PROGRESS | {"message": LONG},
        PROGRESS | {"fraction": 1.1},
        PROGRESS | {"step": -1},
        PROGRESS | {"num_steps": 2**63},
        PROGRESS | {"eta_seconds": -1},
        PROGRESS | {"eta_seconds": 1e300},
        {"type": "metric", "data": {"x": 2**63}},
        {"type": "metric", "data": {"x": 10**400}},
        {"type": "metric", "data": {"x\0": 1}},
        {"type": "metric", "data": {"x": [{"y": ["\0"]}]}},
        {"type": "metric", "data": {"x": "x" * 5000}},
        {"type": "failed", "code": "internal", "message": LONG},
        {"type": "failed", "code": "internal", "message": "", "hint": LONG},
        DONE | {"report": {"x": "\0"}},
        DONE | {"result": {"x": "x" * 20_000}},
        DONE | {"result": {"x": "x" * 10_000}, "files": [FILE]},
        DONE | {"files": [FILE, FILE]},
        DONE | {"files": [FILE | {"name": "../a.bin"}]},
        DONE | {"files": [FILE | {"name": "a/b.bin"}]},
        DONE | {"files": [FILE | {"name": "a.bin\n"}]},
        DONE | {"files": [FILE | {"name": "a"}]},
        DONE | {"files": [FILE | {"name": "x" * 65 + ".bin"}]},
        DONE | {"files": [FILE | {"media_type": "text/html"}]},
        DONE | {"files": [FILE | {"media_type": "image/svg+xml\n"}]},
        DONE | {"files": [FILE], "onnx": "a.bin"},
        DONE | {"files": [FILE], "program": "a.bin"},
        DONE | {"onnx": "model.onnx"},
        DONE | {"program": "pruned.pt2"},
    ],
)
def test_a_message_over_a_limit_is_refused(pipe: Pipe, message: object) -> None:
    pipe.send(WARNING, message)
    with pytest.raises(MessageRefusedError) as caught:
        pipe.reader.read()
    assert len(pipe.got) == 1
    assert len(str(caught.value)) < 500
    assert LONG not in str(caught.value)


@pytest.mark.parametrize("line", [b'{"type": "metric", "data": {"x": 1e999}}'])
def test_a_number_that_overflows_is_refused(pipe: Pipe, line: bytes) -> None:
    pipe.send(line)
    with pytest.raises((MessageRefusedError, NotAMessageError)):
        pipe.reader.read()


def test_half_a_surrogate_reaches_no_database(pipe: Pipe) -> None:
    pipe.send(b'{"type": "warning", "message": "\\ud800"}')
    with pytest.raises((MessageRefusedError, NotAMessageError)):
        pipe.reader.read()


def test_levels_are_counted(pipe: Pipe) -> None:
    def nested(levels: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for _ in range(levels):
            data = {"x": data}
        return {"type": "metric", "data": data}

    pipe.send(nested(29), nested(31))
    with pytest.raises(MessageRefusedError, match="more than 32 levels"):
        pipe.reader.read()
    assert len(pipe.got) == 1


def test_a_line_without_an_end_is_refused(pipe: Pipe) -> None:
    os.write(pipe.writer, b"x" * 20_001)
    with pytest.raises(MessageRefusedError, match="at most 20000"):
        pipe.reader.read()


def test_a_fast_process_has_to_wait() -> None:
    pipe = Pipe(messages_per_second=10)
    pipe.send(*[{"type": "metric", "data": {"n": n}} for n in range(150)])
    assert pipe.reader.read() is None
    assert len(pipe.got) == 150, "a burst is read at once"
    pipe.send({"type": "metric", "data": {"n": 150}})
    began = time.monotonic()
    assert pipe.reader.read() is None
    assert pipe.reader.read() is None
    assert len(pipe.got) == 150
    assert time.monotonic() - began >= 0.3
    pipe.reader._allowed_at -= 60  # a minute later
    assert pipe.reader.read() is None
    assert pipe.got[-1] == Metric(data={"n": 150}), "nothing is lost"


def test_a_text_that_is_too_long_is_shortened_by_its_sender() -> None:
    assert shorten("x") == "x"
    assert len(shorten(LONG)) == MOST_CHARACTERS
    Warned(message=shorten(LONG))
