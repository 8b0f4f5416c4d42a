"""The storage quota holds before a byte arrives and while bytes arrive, for all uploads at once."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.attacks.http.raw import connect, head_of, read_answer, status_of
from tests.fixtures.api import zip_bytes
from tests.fixtures.serving import Serving, serving

QUOTA = 4_000_000
MOST_AT_ONCE = 3_000_000
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"; filename="a.pt2"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)
RAW_KIND = "Content-Type: application/octet-stream"
FORM_KIND = "Content-Type: multipart/form-data; boundary=b"
ROUTES = [
    ("POST /v1/models", RAW_KIND, b""),
    ("POST /v1/datasets", RAW_KIND, b""),
    ("POST /v1/models", FORM_KIND, FORM.replace(b'"model"', b'"file"')),
    ("POST /v1/jobs", FORM_KIND, FORM),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    quotas = {"stored_bytes": QUOTA, "upload_bytes": MOST_AT_ONCE}
    with serving(tmp_path_factory.mktemp("server") / "data", quotas=quotas) as found:
        yield found


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    """A tenant for one test."""
    return "t" + str(abs(hash(request.node.name)))[:20]


def line_of(server: Serving, tenant: str) -> str:
    return f"Authorization: {server.key(tenant)['Authorization']}"


def fill(server: Serving, tenant: str, num_bytes: int) -> None:
    """Store a model of a size."""
    data = zip_bytes().ljust(num_bytes, b"\0")
    url = f"http://{server.address}/v1/models"
    answer = httpx.post(url, content=data, headers=server.key(tenant), trust_env=False)
    assert answer.status_code == 201, answer.text


def used(server: Serving, tenant: str, name: str) -> float:
    url = f"http://{server.address}/v1/quotas"
    answer = httpx.get(url, headers=server.key(tenant), trust_env=False)
    return float(answer.json()["quotas"][name]["used"])


def in_scratch(folder: Path) -> int:
    total = 0
    for path in (folder / "scratch" / "uploads").glob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def begin(server: Serving, tenant: str, length: int) -> bytes:
    return head_of("POST /v1/models", line_of(server, tenant), f"Content-Length: {length}")


def wait_for(server: Serving, tenant: str, name: str, value: float) -> None:
    end = time.monotonic() + 60
    while (found := used(server, tenant, name)) != value:
        assert time.monotonic() < end, found
        time.sleep(0.02)


def send_until_refused(connection: socket.socket, pieces: Iterator[bytes]) -> bytes:
    """Send pieces until an answer arrives, and return it."""
    connection.settimeout(0.01)
    for piece in pieces:
        connection.settimeout(30)
        connection.sendall(piece)
        connection.settimeout(0.01)
        try:
            if connection.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            continue
    connection.settimeout(30)
    return read_answer(connection)


@pytest.mark.parametrize(("route", "kind", "begin"), ROUTES)
def test_a_declared_size_past_the_quota_is_refused_unread(
    route: str, kind: str, begin: bytes, server: Serving, tenant: str
) -> None:
    fill(server, tenant, 3_000_000)
    for length, status in ((1_100_000, 403), (3_500_000, 413), (900_000, None)):
        head = head_of(route, line_of(server, tenant), kind, f"Content-Length: {length}")
        with connect(server) as connection:
            connection.sendall(head)
            if status is not None:
                assert status_of(read_answer(connection)) == status
                continue
            connection.sendall(begin + b"PK\x03\x04")
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)  # it is being received


@pytest.mark.parametrize(("route", "kind", "begin"), ROUTES)
def test_an_undeclared_size_past_the_quota_is_refused_as_it_arrives(
    route: str, kind: str, begin: bytes, server: Serving, tenant: str
) -> None:
    fill(server, tenant, 2_900_000)
    head = head_of(route, line_of(server, tenant), kind, "Transfer-Encoding: chunked")
    file = zip_bytes(b"x.npy") if "datasets" in route else zip_bytes()
    received = 0

    def pieces() -> Iterator[bytes]:
        nonlocal received
        yield chunk(begin + file.ljust(70_000, b"\0"))
        while True:
            received += 70_000
            assert in_scratch(server.folder) <= QUOTA - 2_900_000
            yield chunk(bytes(70_000))

    with connect(server) as connection:
        connection.sendall(head)
        answer = send_until_refused(connection, pieces())
    assert status_of(answer) == 403
    assert b"storage_quota" in answer
    assert received > 900_000
    wait_for(server, tenant, "upload_bytes", 0)
    assert in_scratch(server.folder) == 0


def test_uploads_that_fit_only_alone_are_not_both_received(server: Serving, tenant: str) -> None:
    fill(server, tenant, 2_000_000)
    with connect(server) as first, connect(server) as second:
        first.sendall(begin(server, tenant, 1_500_000))
        wait_for(server, tenant, "upload_bytes", 1_500_000)
        second.sendall(begin(server, tenant, 1_500_000))
        answer = read_answer(second)
        assert status_of(answer) == 403
        assert b"on their way" in answer
    wait_for(server, tenant, "upload_bytes", 0)  # its client has left
    fill(server, tenant, 1_500_000)


def test_uploads_of_unknown_size_together_stay_within_the_quota(
    server: Serving, tenant: str
) -> None:
    fill(server, tenant, 1_500_000)
    head = head_of("POST /v1/models", line_of(server, tenant), "Transfer-Encoding: chunked")
    with ExitStack() as stack:
        crowd = [stack.enter_context(connect(server)) for _ in range(8)]
        for connection in crowd:
            connection.sendall(head + chunk(zip_bytes()))
        for _ in range(40):
            for connection in crowd:
                try:
                    connection.sendall(chunk(bytes(70_000)))
                except OSError:
                    continue  # refused, and closed
            assert in_scratch(server.folder) <= QUOTA - 1_500_000
        statuses = []
        for connection in crowd:
            connection.settimeout(0.2)
            try:
                statuses.append(status_of(read_answer(connection)))
            except (TimeoutError, ConnectionResetError):
                continue
    assert statuses.count(403) >= 4
    wait_for(server, tenant, "upload_bytes", 0)


def test_unfinished_uploads_of_one_tenant_have_a_size_together(
    server: Serving, tenant: str
) -> None:
    with connect(server) as first, connect(server) as second:
        first.sendall(begin(server, tenant, 2_000_000))
        wait_for(server, tenant, "upload_bytes", 2_000_000)
        second.sendall(begin(server, tenant, 1_500_000))
        answer = read_answer(second)
        assert status_of(answer) == 429
        assert b"too_many_uploads" in answer
        assert b"\r\nretry-after: " in answer.lower()
        fill(server, "another-" + tenant, 2_000_000)


def test_a_repeated_request_gets_its_answer_though_the_quota_is_used_up(
    server: Serving, tenant: str
) -> None:
    data = zip_bytes().ljust(2_500_000, b"\0")
    headers = {**server.key(tenant), "Idempotency-Key": "same"}
    url = f"http://{server.address}/v1/models"
    first, again = (
        httpx.post(url, content=data, headers=headers, trust_env=False) for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    other = {**headers, "Idempotency-Key": "other"}
    assert httpx.post(url, content=data, headers=other, trust_env=False).status_code == 403
