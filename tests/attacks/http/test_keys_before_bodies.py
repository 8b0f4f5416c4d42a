"""Without a valid key no byte of a body is read and no place is taken, whatever the route."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.attacks.http.raw import connect, head_of, read_answer, status_of
from tests.fixtures.api import Api, RecordingQueue
from tests.fixtures.serving import Serving, serving
from tests.fixtures.tenants import World, is_open, list_routes, running_world

ROUTES = [route for route in list_routes() if not is_open(route)]
WRONG = "sec_" + "0" * 26 + "_" + "A" * 43  # the form of a key
BODIES = {
    "typed": {"Content-Type": "application/json"},
    "compressed": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    "form": {"Content-Type": "multipart/form-data; boundary=b"},
    "too large": {"Content-Length": "99999999999"},
    "nameless": {},
}
PLACES = 16


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("bodies") / "world") as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("server") / "data"
    with serving(folder, http={"concurrent_requests": PLACES}) as found:
        yield found


def ask_unread(api: Api, route: str, headers: dict[str, str]) -> Any:
    """Send a request whose body may not be read."""

    def body() -> Iterator[bytes]:
        yield from pytest.fail("the body was read")

    method, path = route.split(" ")
    request = api.client.build_request(method, path, content=body(), headers=headers)
    if "Authorization" not in headers:
        request.headers.pop("authorization")
    return api.client.send(request)


@pytest.mark.parametrize("route", ROUTES)
def test_a_key_is_asked_for_before_the_body(route: str, world: World) -> None:
    for key in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": f"Bearer {WRONG}"}):
        kinds = BODIES if not key else {"typed": BODIES["typed"]}
        for name, headers in kinds.items():
            answer = ask_unread(world.api, route, {**headers, **key})
            assert answer.status_code == 401, (name, key, answer.text)
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "path", ["/v1/models/mdl_1", "/v1/datasets/ds_1", "/v1/models/a/aliases/b"]
)
def test_brackets_without_a_key_are_not_judged(path: str, world: World) -> None:
    method = "PUT" if "aliases" in path else "PATCH"
    headers = {"Content-Type": "application/json", "Authorization": ""}
    answer = world.api.client.request(method, path, content=b"[]" * 500_000, headers=headers)
    assert answer.status_code == 401
    valid = {"Content-Type": "application/json"}
    answer = world.api.client.request(method, path, content=b"[]" * 500_000, headers=valid)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "500000 values, the limit is 20000" in answer.text


def test_what_no_route_declares_open_needs_a_key(world: World) -> None:
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        for path in ("/nowhere", "/v1/nowhere", "/v1/models/a/b/c", "/v2/health", "/static"):
            answer = world.api.client.request(method, path, headers={"Authorization": ""})
            assert answer.status_code == 401, (method, path)


def test_slow_bodies_without_a_key_take_no_place(server: Serving) -> None:
    paths = ("PATCH /v1/models/x", "PATCH /v1/datasets/x", "PUT /v1/models/x/aliases/y",
             "POST /v1/models", "POST /v1/jobs", "POST /infer", "POST /v2/models/x/infer",
             "POST /v2/repository/index")  # fmt: skip
    with ExitStack() as stack:
        crowd = []
        for number in range(4 * PLACES):
            connection = stack.enter_context(connect(server))
            length = "Transfer-Encoding: chunked" if number % 2 else "Content-Length: 100000"
            kind = "Content-Type: application/json"
            connection.sendall(head_of(paths[number % len(paths)], length, kind))
            crowd.append(connection)
        started = time.monotonic()
        with httpx.Client(base_url=f"http://{server.address}", trust_env=False) as client:
            for _ in range(PLACES):
                answer = client.get("/v1/jobs", headers=server.key())
                assert answer.status_code == 200
        assert time.monotonic() - started < 5
        for connection in crowd:
            refusal = read_answer(connection)
            assert status_of(refusal) == 401
            assert b"\r\nconnection: close\r\n" in refusal.lower()
            assert connection.recv(1) == b""  # our side is closed at once


def test_readiness_is_checked_once_a_second_however_often_it_is_asked(server: Serving) -> None:
    queue = server.context.queue
    assert isinstance(queue, RecordingQueue)
    started, before = time.monotonic(), queue.num_checks
    with httpx.Client(base_url=f"http://{server.address}", trust_env=False) as client:
        for path in ("/readyz", "/v2/health/ready") * 20:
            assert client.get(path).status_code == 200
    num_seconds = time.monotonic() - started
    assert queue.num_checks - before <= 1 + 2 * num_seconds + 1 < 40


def test_a_refused_client_that_goes_on_sending_still_reads_why(server: Serving) -> None:
    with connect(server) as connection:
        connection.sendall(head_of("POST /v1/models", "Content-Length: 3000000"))
        for _ in range(30):
            connection.sendall(bytes(100_000))
        assert status_of(read_answer(connection)) == 401


def test_a_client_that_asks_first_is_not_told_to_go_on(server: Serving) -> None:
    expect = "Expect: 100-continue"
    with connect(server) as connection:
        connection.sendall(head_of("POST /v1/models", "Content-Length: 3000000", expect))
        assert status_of(read_answer(connection)) == 401


def test_a_request_after_the_last_answer_is_not_answered(server: Serving) -> None:
    inside = head_of("GET /healthz", "Connection: close")
    with connect(server) as connection:
        connection.sendall(head_of("POST /v1/models", "Content-Length: 5"))
        time.sleep(0.1)
        connection.sendall(b"hello" + inside)
        everything = bytearray()
        while piece := connection.recv(65_536):
            everything += piece
    assert everything.count(b"HTTP/1.1 ") == 1


def test_unknown_keys_do_not_exhaust_the_threads(server: Serving) -> None:
    """The database is asked about few unknown keys at once."""
    stop = threading.Event()
    found: list[int] = []

    def flood(name: int) -> None:
        number = 0
        with httpx.Client(base_url=f"http://{server.address}", trust_env=False) as client:
            while not stop.is_set():
                key = f"sec_{name:013d}{number:013d}_" + "A" * 43
                answer = client.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"})
                found.append(answer.status_code)
                number += 1

    threads = [threading.Thread(target=flood, args=(name,)) for name in range(4)]
    headers = server.key("patient")
    with httpx.Client(base_url=f"http://{server.address}", trust_env=False) as client:
        assert client.get("/v1/jobs", headers=headers).status_code == 200
        for thread in threads:
            thread.start()
        while found.count(429) < 20:
            time.sleep(0.02)
        # Behind the same address, a key that the process knows is accepted.
        statuses = {client.get("/v1/jobs", headers=headers).status_code for _ in range(10)}
        stop.set()
        for thread in threads:
            thread.join()
        refused = client.get("/v1/jobs", headers={"Authorization": f"Bearer {WRONG}"})
    assert statuses == {200}
    assert set(found) == {401, 429}
    assert (refused.status_code, refused.json()["code"]) == (429, "wrong_keys")
    assert int(refused.headers["retry-after"]) >= 1
