"""Run a flow of the client against scripted answers, without network or waiting."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from secateur.core.calls import Context
from secateur.core.requests import Request
from secateur.core.steps import Answer, Emit, Fetch, Flow, LostError, Open, Read, Send, Sleep, Work

T = TypeVar("T")

CONTEXT = Context("http://service", most_retries=3)
ARRIVED, NEVER_SENT = LostError("cut off", was_sent=True), LostError("refused", was_sent=False)
SILENT = LostError("timed out", was_sent=True, is_silence=True)

Chunks = list[bytes | LostError]


@dataclass
class Script:
    """Scripted outcomes of requests, in order.

    Attributes:
        outcomes: An answer, a loss, or an answer with the pieces of its body.
        requests: What was sent.
        sleeps: How long was waited each time.
        emitted: What came out on the way.
    """

    outcomes: Sequence[Answer | LostError | tuple[Answer, Chunks]]
    requests: list[Request] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    emitted: list[Any] = field(default_factory=list)
    _chunks: Chunks = field(default_factory=list)

    def run(self, flow: Flow[T]) -> T:
        outcome: Any = None
        error: Exception | None = None
        while True:
            try:
                step = flow.send(outcome) if error is None else flow.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            outcome, error = None, None
            try:
                outcome = self._do(step)
            except Exception as raised:  # noqa: BLE001  # as the transports do
                error = raised

    def _do(self, step: Any) -> Any:
        match step:
            case Send(request) | Open(request):
                return self._answer(request)
            case Fetch(request, sink):
                answer = self._answer(request)
                if answer.status < 300:
                    sink.begin(answer)
                    while self._chunks:
                        sink.write(self._next_chunk())
                        sink.report()
                return answer
            case Read():
                return self._next_chunk() if self._chunks else b""
            case Work(function):
                return function()
            case Sleep(seconds):
                self.sleeps.append(seconds)
            case Emit(value):
                self.emitted.append(value)
        return None

    def _answer(self, request: Request) -> Answer:
        found = self.outcomes[len(self.requests)]
        self.requests.append(request)
        if isinstance(found, LostError):
            raise found
        answer, self._chunks = found if isinstance(found, tuple) else (found, [])
        return answer

    def _next_chunk(self) -> bytes:
        chunk = self._chunks.pop(0)
        if isinstance(chunk, LostError):
            raise chunk
        return chunk


def ok(body: Any, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(body).encode())


def problem(status: int, code: str, retry_after: str | None = None, **members: Any) -> Answer:
    body = {
        "type": "about:blank", "title": "", "status": status, "detail": f"it is {code}",
        "instance": "/", "code": code, "request_id": "req_1", "errors": [], **members,
    }  # fmt: skip
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return Answer(status, headers, json.dumps(body).encode())


def model(**changes: Any) -> dict[str, Any]:
    return {
        "id": "mdl_1", "object": "model", "name": "net", "version": "1", "status": "ready",
        "format": "pt2", "architecture": None, "filename": "net.pt2", "sha256": "", "num_bytes": 1,
        "parent": None, "job": None, "num_parameters": 1, "macs": 1, "preprocess": None,
        "class_names": None, "error": None, "metadata": {}, "created_at": None, "urls": {},
        **changes,
    }  # fmt: skip


def dataset(**changes: Any) -> dict[str, Any]:
    return {
        "id": "ds_1", "object": "dataset", "name": "photos", "status": "ready", "format": "zip",
        "filename": "photos.zip", "sha256": "", "num_bytes": 1, "preprocess": {}, "summary": None,
        "error": None, "metadata": {}, "created_at": None, **changes,
    }  # fmt: skip


def job(**changes: Any) -> dict[str, Any]:
    times = ("created", "queued", "started", "paused", "finished", "expires")
    requests = ("pause_requested_at", "cancel_requested_at", "time_limit_seconds")
    unknown = ("stage", "progress", "queue_position", "estimated_wait_seconds", "dataset", "sweep")
    return {
        "id": "job_1", "object": "job", "status": "running", "attempt": 1, "max_attempts": 3,
        "model": "mdl_1", "config": {}, "resolved": {}, "result": None, "error": None,
        "warnings": [], "metadata": {}, "webhook": None, "seconds_run": 0.0, "urls": {},
        **{f"{name}_at": None for name in times}, **dict.fromkeys((*requests, *unknown)),
        **changes,
    }  # fmt: skip
