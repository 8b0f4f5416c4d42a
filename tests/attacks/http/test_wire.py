"""Malformed HTTP and slow clients on real connections."""

import json
import resource
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.attacks.server import Server, read_all, running_server

HEAD = b"Host: localhost\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the default limits and shorter timeouts."""
    folder = tmp_path_factory.mktemp("server") / "data"
    with running_server(
        folder,
        HTTP__HEAD_SECONDS="1",
        HTTP__KEEP_ALIVE_SECONDS="1",
        HTTP__BODY_STALL_SECONDS="1",
        HTTP__WRITE_STALL_SECONDS="1",
        HTTP__CONNECTIONS="40",
    ) as found:
        yield found


def statuses(answer: bytes) -> list[int]:
    """Return the status of every answer in the bytes of a connection."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def problem(answer: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(answer.rpartition(b"\r\n\r\n")[2])
    return found


def post(server: Server, *headers: bytes) -> bytes:
    """Return the head of an upload."""
    lines = [b"POST /v1/models HTTP/1.1", HEAD.strip(), *headers]
    lines.append(f"Authorization: Bearer {server.key}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"


# A second request in what may be a body: whoever answers it has been smuggled past.
INSIDE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Transfer-Encoding: chunked, identity",),
        (b"Transfer-Encoding: identity, chunked, identity",),
        (b"Transfer-Encoding : chunked",),
        (b"Content-Length: +5",),
        (b"Content-Length: 5, 5",),
        (b"Content-Length: 0x5",),
        (b"Content-Length: -1",),
        (b"Content-Length: 99999999999999999999999",),
        (b"X: a\rTransfer-Encoding: chunked", b"Content-Length: 5"),
        (b"X: \x00", b"Content-Length: 5"),
        (b"X Y: 1", b"Content-Length: 5"),
        (b"X: 1\r\n folded", b"Content-Length: 5"),
    ],
)
def test_a_body_with_an_ambiguous_length_is_refused(
    headers: tuple[bytes, ...], server: Server
) -> None:
    answer = server.exchange(post(server, *headers), INSIDE)
    assert statuses(answer) == [400], answer
    assert problem(answer)["code"] == "bad_request"


@pytest.mark.parametrize(
    "body",
    [b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n",
     b"fffffffffffffffff\r\nhello", b"5;\x00\r\nhello\r\n0\r\n\r\n"],
)  # fmt: skip
def test_invalid_chunks_are_refused(body: bytes, server: Server) -> None:
    answer = server.exchange(post(server, b"Transfer-Encoding: chunked") + body, INSIDE)
    assert statuses(answer) == [400], answer


@pytest.mark.parametrize(
    "line",
    [b"GET / HTTP/9.9", b"GET /\x00 HTTP/1.1", b"G\x01T / HTTP/1.1", b"\x16\x03\x01",
     b"GET /\xff HTTP/1.1", b"PRI * HTTP/2.0", b"CONNECT localhost:1 HTTP/1.1", b"GET"],
)  # fmt: skip
def test_an_invalid_request_line_is_refused(line: bytes, server: Server) -> None:
    answer = server.exchange(line + b"\r\n" + HEAD + b"\r\n", INSIDE)
    assert statuses(answer) == [400], answer
    assert b"server:" not in answer.lower()
    assert b"x-content-type-options: nosniff" in answer.lower()


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: b\r\n"])
def test_a_request_has_one_host(hosts: bytes, server: Server) -> None:
    answer = server.exchange(b"GET /healthz HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
    assert statuses(answer) == [400]


def test_an_incomplete_body_creates_nothing(server: Server) -> None:
    head = post(server, b"Content-Length: 1000")
    with server.connect() as connection:
        connection.sendall(head + b"PK\x03\x04")
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)
    response = httpx.get(f"{server.url}/v1/models", headers=server.authorization, trust_env=False)
    assert response.json()["data"] == []


def test_bytes_beyond_the_content_length_are_another_request(server: Server) -> None:
    answer = server.exchange(post(server, b"Content-Length: 3") + b"abc" + INSIDE)
    assert statuses(answer) == [415, 200]


def test_a_client_that_expects_100_is_refused_before_it_sends(server: Server) -> None:
    many = b"Content-Length: 99999999999999"
    with server.connect() as connection:
        connection.sendall(post(server, many, b"Expect: 100-continue"))
        answer = connection.recv(65_536)
    assert statuses(answer) == [413]
    with server.connect() as connection:
        connection.sendall(post(server, b"Content-Length: 3", b"Expect: 100-continue"))
        assert statuses(connection.recv(65_536)) == [100]
        connection.sendall(b"abc")
        assert statuses(connection.recv(65_536)) == [415]


def test_an_endless_request_head_is_refused(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HEAD + b"X: ")
        try:
            for _ in range(100):
                connection.sendall(b"a" * 65_536)
        except (BrokenPipeError, ConnectionResetError):
            return  # hung up in the middle, which is what is wanted
        answer = read_all(connection)
    assert statuses(answer) == [431]


def test_a_slow_request_head_is_cut_off(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        answer = drip(connection, b"X-Slow: 1\r\n", seconds=0.3)
    assert statuses(answer) == [408]
    assert problem(answer)["code"] == "too_slow"


def test_a_body_that_pauses_is_cut_off_and_leaves_nothing(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(post(server, b"Content-Length: 100000") + b"PK\x03\x04" * 17_000)
        answer = read_answer(connection)
    assert statuses(answer) == [408]
    assert problem(answer)["code"] == "too_slow"
    assert list((server.log.parent / "scratch" / "uploads").iterdir()) == []


@pytest.mark.parametrize(("sent", "expected"), [(b"", []), (b"\r\n", [408])])
def test_a_silent_connection_is_closed(sent: bytes, expected: list[int], server: Server) -> None:
    with server.connect() as connection:
        assert statuses(drip(connection, sent, seconds=0.3)) == expected


def test_a_connection_that_stops_in_the_middle_of_a_request_is_closed(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n")
        answer = drip(connection, b"\r\n", seconds=0.3)
    assert statuses(answer) == [200]


def test_the_rest_of_a_refused_body_is_not_waited_for(server: Server) -> None:
    head = b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head)
        answer = drip(connection, b"a", seconds=0.5)
    assert statuses(answer) == [401]


def test_a_connection_over_the_limit_gets_503_but_may_call_healthz(
    server: Server,
) -> None:
    held = [server.connect() for _ in range(40)]
    asks = b" HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n"
    try:
        refused = server.exchange(b"GET /v1/models" + asks)
        alive = server.exchange(b"GET /healthz" + asks)
        silent = server.connect()
        held += [silent, *(server.connect() for _ in range(63))]
        last = server.exchange()
        told = read_all(silent)
    finally:
        for connection in held:
            connection.close()
    assert statuses(alive) == [200]
    for answer in (refused, last, told):
        assert statuses(answer) == [503]
        assert b"retry-after: " in answer.lower()


def test_the_process_may_open_as_many_files_as_its_user_may(server: Server) -> None:
    soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


def test_unsupported_upgrades_are_ignored(server: Server) -> None:
    head = (
        b"GET /healthz HTTP/1.1\r\n" + HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    with server.connect() as connection:
        connection.sendall(head)
        assert statuses(connection.recv(65_536)) == [200]


def read_answer(connection: socket.socket) -> bytes:
    """Read exactly one answer with a JSON body."""
    received = b""
    while b"\r\n\r\n" not in received or not received.endswith(b"}"):
        received += connection.recv(65_536)
    return received


def drip(connection: socket.socket, piece: bytes, *, seconds: float) -> bytes:
    """Send a piece repeatedly until the server closes the connection; return its answer."""
    received, end = bytearray(), time.monotonic() + 30
    connection.settimeout(seconds)
    while time.monotonic() < end:
        try:
            connection.sendall(piece)
            found = connection.recv(65_536)
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return bytes(received)
        if not found:
            return bytes(received)
        received += found
    raise AssertionError("the server does not hang up")
