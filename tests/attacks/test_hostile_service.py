"""A hostile service: the client stays within its memory, folder and terminal."""

import asyncio
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from secateur import AsyncClient, Client, SecateurError
from secateur.core import bodies
from secateur.core.events import Lines
from secateur.errors import UnexpectedAnswerError
from secateur.types import JobData, Model

MEBIBYTE = 1024**2
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egpj"


@dataclass
class Service:
    """Responses of the hostile service by path; a number of bytes is sent as an endless body."""

    port: int
    bodies: dict[str, tuple[int, dict[str, str], bytes | None]] = field(default_factory=dict)
    num_sent: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def says(self, path: str, value: Any, status: int = 200) -> None:
        """Respond with JSON."""
        headers = {"content-type": "application/json"}
        self.bodies[path] = (status, headers, json.dumps(value).encode())

    def lists(self, path: str, value: Any) -> None:
        """Respond with a page of one item."""
        self.says(path, {"object": "list", "data": [value], "has_more": False, "next_after": None})


@contextmanager
def hostile_service() -> Iterator[Service]:
    """Run the service on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            status, headers, body = service.bodies.get(path, (404, {}, b"{}"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if body is not None:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            try:
                self._send(body)
            except OSError:
                self.close_connection = True

        def _send(self, body: bytes | None) -> None:
            if body is not None:
                self.wfile.write(body)
                return
            while service.num_sent < 64 * MEBIBYTE:  # endless, as far as this client is concerned
                service.num_sent += self.wfile.write(b" " * 65_536)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        service = Service(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield service
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    with hostile_service() as service:
        yield service


@pytest.fixture
def service(shared: Service) -> Service:
    shared.bodies.clear()
    shared.num_sent = 0
    return shared


def response(answer: type[JobData] | type[Model], **values: Any) -> dict[str, Any]:
    """Return JSON of a type: the given values, empty ones for the rest."""
    empty = {"metadata": {}, "urls": {}, "config": {}, "warnings": [], "attempt": 0}
    rest = {"max_attempts": 1, "seconds_run": 0.0, "num_bytes": 0, "sha256": "", "version": "1"}
    names = {name for name, each in answer.model_fields.items() if each.is_required()}
    return {**dict.fromkeys(names), **empty, **rest, **values}


def run(service: Service, *arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments, "--url", service.url, "--key", "sec_x"])


@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_response_is_cut_off(
    service: Service, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(bodies, "LONGEST_BODY_BYTES", 2 * MEBIBYTE)
    service.bodies["/v1/models/m"] = (status, {}, None)
    with Client(service.url) as client, pytest.raises(UnexpectedAnswerError, match="longer than"):
        client.get_model("m")

    async def read() -> None:
        async with AsyncClient(service.url) as client:
            await client.get_model("m")

    with pytest.raises(UnexpectedAnswerError, match="longer than"):
        asyncio.run(read())
    assert service.num_sent < 32 * MEBIBYTE


def test_a_compressed_response_is_not_decompressed(service: Service) -> None:
    bomb = gzip.compress(bytes(32 * MEBIBYTE))
    service.bodies["/v1/models/m"] = (200, {"content-encoding": "gzip"}, bomb)
    with Client(service.url) as client, pytest.raises(UnexpectedAnswerError, match="not JSON"):
        client.get_model("m")


def test_an_endless_event_is_cut_off() -> None:
    lines = Lines()
    for _ in range(16):
        assert list(lines.feed(b"x" * MEBIBYTE)) == []
    with pytest.raises(UnexpectedAnswerError, match="more than"):
        list(lines.feed(b"x"))


def test_many_events_may_exceed_the_limit_of_one() -> None:
    lines = Lines()
    event = {"number": 1, "type": "log", "data": {"text": "x" * MEBIBYTE}, "created_at": None}
    sent = b"data: " + json.dumps(event).encode() + b"\n\n"
    assert sum(len(list(lines.feed(sent))) for _ in range(20)) == 20


@pytest.mark.parametrize("name", ["../outside", "/outside", "..", ".hidden", "a\x1b[2J"])
def test_the_newest_job_cannot_choose_a_folder_elsewhere(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    service.lists("/v1/jobs", response(JobData, id=name, status="succeeded"))
    found = run(service, "pull", "latest")
    assert found.exit_code == 1
    assert "unsafe file name" in found.output
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert list(inside.iterdir()) == []


@pytest.mark.parametrize("text", [ESCAPES, "[/red]", "[link=https://evil.test]x", "[bold]", ":x:"])
def test_tables_show_names_literally(service: Service, text: str) -> None:
    shown = response(Model, id="mdl_1", name=text, filename=text, status="ready", format="pt2")
    service.lists("/v1/models", shown)
    found = run(service, "models")
    assert found.exit_code == 0, found.output
    assert not set("\x1b\x07\x9b\u202e") & set(found.output)
    if text.isprintable():
        assert text in found.output


def test_errors_show_text_literally(service: Service) -> None:
    problem = {"title": "x", "status": 404, "detail": ESCAPES, "instance": "", "code": "not_found",
        "request_id": "req_1"}  # fmt: skip
    service.says("/v1/models/m", problem, 404)
    found = run(service, "models", "show", "m")
    assert found.exit_code != 0
    assert "\\x1b[2J" in found.output
    assert not set("\x1b\x07\x9b\u202e") & set(found.output)


def test_a_redirect_is_not_followed_with_the_key(service: Service) -> None:
    service.bodies["/v1/models/m"] = (307, {"location": "http://127.0.0.1:9/"}, b"")
    with Client(service.url) as client, pytest.raises(SecateurError, match="redirected"):
        client.get_model("m")
