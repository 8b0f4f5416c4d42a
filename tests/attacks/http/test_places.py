"""One tenant holds all that it may of a process, and another one is still answered at once."""

import gzip
import io
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from PIL import Image

from app.http.gate import GateMiddleware
from tests.attacks.http.raw import connect, head_of, read_answer, status_of
from tests.fixtures.api import zip_bytes
from tests.fixtures.serving import Serving, identity, pooled, serving

PLACES = 16
MEBIBYTE = 1024**2
JSON = "Content-Type: application/json"
QUICK_SECONDS = 2.0  # a held place would keep others waiting for 30 s or more


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("server") / "data"
    with serving(
        folder,
        http={
            "concurrent_requests": PLACES,
            "event_streams": 8,
            "buffered_bytes": 8 * MEBIBYTE,
        },
        limits={"infer_bytes": 4 * MEBIBYTE, "json_bytes": MEBIBYTE},
        quotas={"waiting_requests": 6},
    ) as found:
        found.add_model("net", identity(), tenant="other")
        yield found


@pytest.fixture(scope="module")
def greedy(server: Serving) -> dict[str, str]:
    return server.key("greedy")


@pytest.fixture(scope="module")
def job(server: Serving, greedy: dict[str, str]) -> str:
    """A job that nobody will ever finish."""
    with client_of(server, greedy) as client:
        model = client.post("/v1/models", content=zip_bytes()).raise_for_status().json()["id"]
        return str(client.post("/v1/jobs", json={"model": model}).raise_for_status().json()["id"])


def client_of(server: Serving, headers: dict[str, str]) -> httpx.Client:
    url = f"http://{server.address}"
    return httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30)


@pytest.fixture(autouse=True)
def _all_places_are_free(server: Serving) -> None:
    """Wait until the requests of the test before have ended."""
    gate = server.app._outer._app  # type: ignore[attr-defined]  # of our application
    assert isinstance(gate, GateMiddleware)
    end = time.monotonic() + QUICK_SECONDS
    while gate._requests.free < PLACES:
        assert time.monotonic() < end, "places are not given back"
        time.sleep(0.01)


def line_of(headers: dict[str, str]) -> str:
    return f"Authorization: {headers['Authorization']}"


def refuse_to_starve_others(server: Serving) -> None:
    """Fail unless another tenant's `/infer` and lists are answered at once."""
    started = time.monotonic()
    with client_of(server, server.key("other")) as client:
        for _ in range(3):
            assert client.get("/v1/jobs").status_code == 200
            body = {"model": "net", "inputs": [[1.0, 2.0]]}
            assert client.post("/infer", json=body).status_code == 200
            assert client.get("/healthz").status_code == 200
    assert time.monotonic() - started < QUICK_SECONDS


@contextmanager
def held(server: Serving, heads: list[bytes]) -> Iterator[list[bytes]]:
    """Open requests that do not end; yield the answers of those that were refused."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in heads]
        for connection, head in zip(connections, heads, strict=True):
            connection.sendall(head)
        refused = []
        for connection in connections:
            connection.settimeout(0.05)
            try:
                refused.append(read_answer(connection))
            except TimeoutError:
                continue
        yield refused


def limit_is_told(refused: list[bytes]) -> None:
    assert refused
    for answer in refused:
        assert status_of(answer) == 429
        assert b" at once" in answer
        assert b"\r\nretry-after: " in answer.lower()


def wait_until_free(server: Serving, headers: dict[str, str], name: str) -> float:
    """Return how long it takes until a quota is unused."""
    started = time.monotonic()
    with client_of(server, headers) as client:
        while client.get("/v1/quotas").json()["quotas"][name]["used"] > 0:
            assert time.monotonic() - started < QUICK_SECONDS
            time.sleep(0.02)
    return time.monotonic() - started


def test_waits_are_limited_and_end_with_their_client(
    server: Serving, greedy: dict[str, str], job: str
) -> None:
    poll = head_of(f"GET /v1/jobs/{job}?wait=60", line_of(greedy))
    with held(server, [poll] * PLACES) as refused:
        assert len(refused) == PLACES - 6
        limit_is_told(refused)
        refuse_to_starve_others(server)
    wait_until_free(server, greedy, "waiting_requests")
    refuse_to_starve_others(server)


def test_a_plan_is_a_wait_too_and_is_cancelled_when_its_client_leaves(
    server: Serving, greedy: dict[str, str], job: str
) -> None:
    with client_of(server, greedy) as client:
        model = client.get(f"/v1/jobs/{job}").json()["model"]
        body = orjson.dumps({"model": model})
        length = f"Content-Length: {len(body)}"
        plan = head_of("POST /v1/jobs:plan?wait=60", line_of(greedy), JSON, length) + body
        queued = client.get("/v1/quotas").json()["quotas"]["queued_jobs"]["used"]
        with held(server, [plan] * PLACES) as refused:
            limit_is_told(refused)
            refuse_to_starve_others(server)
        wait_until_free(server, greedy, "waiting_requests")
        assert client.get("/v1/quotas").json()["quotas"]["queued_jobs"]["used"] == queued


def test_a_client_that_leaves_a_body_unread_behind_is_noticed_too(
    server: Serving, greedy: dict[str, str], job: str
) -> None:
    """More bytes than the server takes ahead would hide the end of the connection."""
    route = f"GET /v1/jobs/{job}?wait=60"
    poll = head_of(route, line_of(greedy), "Content-Length: 500000") + bytes(200_000)
    with held(server, [poll] * 3):
        pass
    wait_until_free(server, greedy, "waiting_requests")


def test_a_client_that_leaves_a_second_request_behind_is_noticed_too(
    server: Serving, greedy: dict[str, str], job: str
) -> None:
    poll = head_of(f"GET /v1/jobs/{job}?wait=60", line_of(greedy))
    with held(server, [poll * 2] * 3):
        pass
    wait_until_free(server, greedy, "waiting_requests")


def test_streams_leave_places_to_others(server: Serving, greedy: dict[str, str], job: str) -> None:
    accept = "Accept: text/event-stream"
    stream = head_of(f"GET /v1/jobs/{job}/events", line_of(greedy), accept)
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in range(PLACES)]
        answers = []
        for connection in connections:
            connection.sendall(stream)
            answers.append(read_answer(connection))
        assert [status_of(answer) for answer in answers].count(200) == 4  # half of eight
        limit_is_told([answer for answer in answers if status_of(answer) != 200])
        refuse_to_starve_others(server)
        path = f"/v1/jobs/{_job_of(server, 'other')}/events"
        with (
            client_of(server, server.key("other")) as client,
            client.stream("GET", path, headers={"Accept": "text/event-stream"}) as answer,
        ):
            assert answer.status_code == 200
    wait_until_free(server, greedy, "event_streams")


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        ("POST /v1/models", "Content-Type: application/octet-stream"),
        ("POST /v1/jobs", "Content-Type: multipart/form-data; boundary=b"),
        ("PATCH /v1/models/x", JSON),
        ("PUT /v1/models/x/aliases/y", JSON),
        ("POST /v1/sweeps", JSON),
        ("POST /infer", JSON),
        ("POST /v2/models/x/infer", JSON),
    ],
)
def test_slow_bodies_leave_places_to_others(
    route: str, kind: str, server: Serving, greedy: dict[str, str]
) -> None:
    slow = head_of(route, line_of(greedy), kind, "Content-Length: 100000")
    with held(server, [slow] * PLACES) as refused:
        assert len(refused) == PLACES // 2
        limit_is_told(refused)
        refuse_to_starve_others(server)


def test_memory_of_bodies_is_left_to_others(server: Serving, greedy: dict[str, str]) -> None:
    kind, length = "Content-Type: application/octet-stream", f"Content-Length: {2 * MEBIBYTE}"
    slow = head_of("POST /infer", line_of(greedy), kind, length) + bytes(2 * MEBIBYTE - 1)
    with held(server, [slow] * 5) as refused:
        assert len(refused) >= 2
        limit_is_told(refused)
        refuse_to_starve_others(server)
        with client_of(server, server.key("other")) as client:
            body = orjson.dumps({"model": "net", "inputs": [[1.0, 2.0]]}).ljust(MEBIBYTE)
            assert client.post("/infer", content=body).status_code == 200


def test_images_count_with_the_tensors_that_they_become(
    server: Serving, greedy: dict[str, str]
) -> None:
    """The share is 4 MiB: two of 3 MiB at once are too much, and none is kept afterwards."""
    server.add_model("pixels", pooled(512), tenant="greedy")
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    files = [("file", ("a.png", buffer.getvalue()))] * 2  # 6 MiB

    def classify(_: int) -> int:
        with client_of(server, greedy) as client:
            return client.post("/infer?model=pixels", files=files).status_code

    assert classify(0) == 200
    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(pool.map(classify, range(24)))
    assert set(statuses) <= {200, 429, 503}, statuses
    assert statuses[429] + statuses[503] > 0, "nothing was refused"
    assert classify(0) == 200
    refuse_to_starve_others(server)


@pytest.mark.parametrize("path", ["/infer", "/v2/models/net/infer"])
@pytest.mark.parametrize("value", ["[]", "{}", "[[]]", '{"a":{}}'])
def test_json_that_grows_when_it_is_parsed_is_refused_unparsed(
    value: str, path: str, server: Serving
) -> None:
    data = f'{{"inputs":[{",".join([value] * (MEBIBYTE // len(value)))}]}}'.encode()
    with client_of(server, server.key("other")) as client:
        sent: list[dict[str, Any]] = [{"content": data}]
        if path.startswith("/v2"):
            packed = gzip.compress(data)
            assert len(packed) < MEBIBYTE // 100
            sent.append({"content": packed, "headers": {"Content-Encoding": "gzip"}})
            lying = {"Inference-Header-Content-Length": str(len(data))}
            sent.append({"content": data, "headers": lying})
        for arguments in sent:
            answer = client.post(path, **arguments)
            assert answer.status_code == 413, answer.text
            assert "once it is parsed" in answer.text
    refuse_to_starve_others(server)


def test_json_counts_with_its_parsed_size_while_it_arrives(
    server: Serving, greedy: dict[str, str]
) -> None:
    begun = b'{"inputs":[' + b"[]," * 18_000  # 2 MB of lists; the share is 4 MiB
    head = head_of("POST /infer", line_of(greedy), JSON, "Content-Length: 100000")
    with held(server, [head + begun] * 4) as refused:
        assert 2 <= len(refused) <= 3
        limit_is_told(refused)
        refuse_to_starve_others(server)


def test_numbers_at_the_size_limit_are_no_bomb(server: Serving) -> None:
    """A body of ordinary numbers is judged by the network, not by its memory."""
    values = np.random.default_rng(0).random(40_000).tolist()
    body = orjson.dumps({"model": "net", "inputs": [values]})
    with client_of(server, server.key("other")) as client:
        answer = client.post("/infer", content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


def test_a_tensor_in_binary_form_is_no_json(server: Serving) -> None:
    num_items = MEBIBYTE // 8
    tensor = np.frombuffer(b"[[[{" * 2 * num_items, np.float32).reshape(num_items, 2)
    described = {
        "name": "x",
        "shape": list(tensor.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": tensor.nbytes},
    }
    head = orjson.dumps({"inputs": [described]})
    headers = {"Inference-Header-Content-Length": str(len(head))}
    with client_of(server, server.key("other")) as client:
        content = head + tensor.tobytes()
        answer = client.post("/v2/models/net/infer", content=content, headers=headers)
    assert answer.status_code != 413, answer.text


def _job_of(server: Serving, tenant: str) -> str:
    with client_of(server, server.key(tenant)) as client:
        model = client.post("/v1/models", content=zip_bytes()).json()["id"]
        return str(client.post("/v1/jobs", json={"model": model}).json()["id"])
