"""While a model's queue is full, requests that would be refused are refused unread."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest

from tests.fixtures.serving import Serving, serving
from tests.integration.inference.networks import write_convolutions
from tests.integration.inference.test_overload import JSON, write_slow

PATH = "/infer?model=slow"
OTHER = {"inputs": np.ones((1, 1, 12, 12), int).tolist()}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    """A service with one run at a time and a queue of two requests."""
    inference = {"num_workers": 1, "max_batch_items": 1, "queue_items": 2}
    with serving(tmp_path / "data", inference=inference) as found:
        found.add_model("slow", onnx.load(write_slow(tmp_path / "slow.onnx")))
        found.add_model("other", onnx.load(write_convolutions(tmp_path / "other.onnx")))
        yield found


def shed(client: httpx.Client) -> float:
    text = client.get("/metrics").text
    found = re.search(r'_rejections_total\{reason="shed"\} (\S+)', text)
    return float(found[1]) if found else 0.0


def asking(served: Serving) -> httpx.Client:
    return httpx.Client(
        base_url=f"http://{served.address}",
        headers=served.key(),
        timeout=60,
        limits=httpx.Limits(max_connections=None),
        trust_env=False,
    )


def flood(client: httpx.Client, threads: ThreadPoolExecutor, number: int) -> list[httpx.Response]:
    return list(threads.map(lambda _: client.post(PATH, json=JSON), range(number)))


def test_a_flood_is_refused_unread_and_those_accepted_are_answered(served: Serving) -> None:
    with asking(served) as client, ThreadPoolExecutor(24) as threads:
        assert client.post(PATH, json=JSON).status_code == 200
        answers = flood(client, threads, 120)
        assert {answer.status_code for answer in answers} == {200, 503}
        assert shed(client) > 0
        ids = set()
        for answer in answers:
            ids.add(answer.headers["x-request-id"])
            if answer.status_code == 503:
                assert answer.json()["code"] == "overloaded"
                assert answer.json()["request_id"] == answer.headers["x-request-id"]
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(ids) == len(answers), "every answer has an id of its own"
        # Connections that were refused on are good for more, and nobody is refused for nothing.
        assert {answer.status_code for answer in flood(client, threads, 1)} == {200}
        counted = re.findall(
            r'_requests_total\{.*route="/infer".*\} (\S+)', client.get("/metrics").text
        )
        assert sum(map(float, counted)) == len(answers) + 2


def test_requests_that_would_miss_their_deadline_are_refused_and_then_shed(tmp_path: Path) -> None:
    inference = {"num_workers": 1, "max_batch_items": 1}
    with serving(tmp_path / "data", inference=inference) as served:
        served.add_model("slow", onnx.load(write_slow(tmp_path / "slow.onnx")))
        with asking(served) as client, ThreadPoolExecutor(24) as threads:
            flood(client, threads, 5)  # now it is known how long they take
            hurried = f"{PATH}&timeout_seconds=0.05"
            answers = list(
                threads.map(lambda _: client.post(hurried, json=JSON), range(120)),
            )
            refused = [answer for answer in answers if answer.status_code == 503]
            assert len(refused) < len(answers)
            assert {answer.json()["code"] for answer in refused} == {"deadline_exceeded"}
            assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
            assert any("requests before it take" in answer.text for answer in refused)
            assert shed(client) > 0
            patient = [client.post(f"{PATH}&timeout_seconds=60", json=JSON) for _ in range(3)]
            assert {answer.status_code for answer in patient} == {200}


@contextmanager
def flooded(client: httpx.Client) -> Iterator[None]:
    """Request the slow model on many connections until the block ends."""
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            client.post(PATH, json=JSON)

    with ThreadPoolExecutor(16) as threads:
        asking = [threads.submit(ask) for _ in range(16)]
        try:
            while not shed(client):
                assert not any(one.done() for one in asking)
            yield
        finally:
            is_over.set()
    for one in asking:
        one.result()


def test_other_models_and_other_keys_are_not_shed(served: Serving) -> None:
    with asking(served) as client, flooded(client):
        assert client.post("/infer?model=other", json=OTHER).status_code == 200
        stranger = client.post(PATH, json=JSON, headers={"Authorization": "Bearer sec_x_y"})
        assert stranger.status_code == 401


def test_a_body_that_arrives_after_its_refusal_is_discarded(served: Serving) -> None:
    body = json.dumps(JSON).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: {served.key()['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    host, _, port = served.address.partition(":")
    with asking(served) as client, flooded(client):
        statuses = []
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            while (True, 503) not in statuses:  # refused before its body came
                assert len(statuses) < 500
                connection.sendall(head)
                refused_early = b"503" in peek(connection)
                connection.sendall(body)
                statuses.append((refused_early, read_answer(connection)))
            # The connection is as good as before.
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_answer(connection) == 200
    assert {status for _, status in statuses} <= {200, 503}


def peek(connection: socket.socket) -> bytes:
    """Return the bytes that arrive within a moment."""
    connection.settimeout(0.05)
    try:
        return connection.recv(100, socket.MSG_PEEK)
    except TimeoutError:
        return b""
    finally:
        connection.settimeout(60)


def read_answer(connection: socket.socket) -> int:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, rest = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(rest) < length:
        rest += connection.recv(65_536)
    assert len(rest) == length
    return int(head[9:12])
