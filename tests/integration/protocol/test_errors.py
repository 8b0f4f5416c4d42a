"""Every error below ``/v2`` is ``{"error": "<string>"}``."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.fixtures.serving import Serving, identity

X = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
INFER = "/v2/models/echo/infer"


@pytest.fixture(scope="module")
def client(served: Serving, headers: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{served.address}", headers=headers) as found:
        yield found


def body(**changes: Any) -> bytes:
    return json.dumps({"inputs": [{**X, **changes}]}).encode()


def error_of(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    found = response.json()
    assert list(found) == ["error"]
    assert isinstance(found["error"], str)
    assert found["error"]
    return str(found["error"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "z"}, "takes inputs ['x'], not ['z']"),
        ({"datatype": "FP64"}, "takes FP32, not FP64"),
        ({"shape": [2]}, "takes shape [-1, 2], not [2]"),
        ({"shape": [1, 3], "data": [1, 2, 3]}, "takes shape [-1, 2], not [1, 3]"),
        ({"data": [1]}, "1 values"),
        ({"data": [1, "2"]}, "not FP32"),
    ],
)
def test_an_input_that_does_not_fit(
    client: httpx.Client, changes: dict[str, Any], words: str
) -> None:
    assert words in error_of(client.post(INFER, content=body(**changes)), 400)


def test_authentication_and_scopes_are_checked_before_the_tensors(
    client: httpx.Client, served: Serving
) -> None:
    no_key = {"Authorization": ""}
    assert "API key" in error_of(client.post(INFER, content=body(), headers=no_key), 401)
    wrong = {"Authorization": "Bearer sec_x"}
    error_of(client.get("/v2/models/echo", headers=wrong), 401)
    reader = served.key("default", "models:read")
    assert "'infer'" in error_of(client.post(INFER, content=body(), headers=reader), 403)
    asker = served.key("default", "infer")
    assert client.post(INFER, content=body(), headers=asker).status_code == 200
    assert "admin" in error_of(client.post("/v2/repository/models/echo/load", headers=asker), 403)
    error_of(client.post("/v2/repository/index", headers=asker), 403)


def test_unknown_paths_models_and_methods_are_errors(client: httpx.Client, served: Serving) -> None:
    for path in ("/v2/x", "/v2/models", "/v2/models/nope", "/v2/models/echo/versions/9/config"):
        error_of(client.get(path), 404)
    error_of(client.post("/v2/models/echo/versions/nope/infer", content=body()), 404)
    error_of(client.get(INFER), 405)
    error_of(client.post("/v2/health/live"), 405)
    stranger = served.key("stranger")
    for path in ("/v2/models/echo", "/v2/models/echo/ready", "/v2/models/echo/stats"):
        assert "no model 'echo'" in error_of(client.get(path, headers=stranger), 404)
    error_of(client.post(INFER, content=body(), headers=stranger), 404)
    assert client.post("/v2/repository/index", headers=stranger).json() == []
    assert client.get("/v2/models/stats", headers=stranger).json() == {"model_stats": []}


def test_a_model_is_found_by_id_and_a_strangers_is_not(
    client: httpx.Client, served: Serving
) -> None:
    response = client.get("/v1/models")
    model_id = next(row["id"] for row in response.json()["data"] if row["name"] == "echo")
    answer = client.post(f"/v2/models/{model_id}/infer", content=body()).json()
    assert (answer["model_name"], answer["model_version"]) == (model_id, "1")
    assert client.get(f"/v2/models/{model_id}/versions/1").status_code == 200
    error_of(client.get(f"/v2/models/{model_id}/versions/2"), 404)
    error_of(client.get(f"/v2/models/{model_id}", headers=served.key("stranger")), 404)


def test_a_model_that_is_not_ready(client: httpx.Client, served: Serving) -> None:
    served.add_model("waiting", identity(), status="validating", onnx_sha256=None)
    for path in ("/v2/models/waiting", "/v2/models/waiting/ready"):
        assert "validating" in error_of(client.get(path), 409)
    error_of(client.post("/v2/models/waiting/infer", content=body()), 409)
    index = client.post("/v2/repository/index").json()
    assert {"name": "waiting", "version": "1", "state": "LOADING"}.items() <= next(
        entry.items() for entry in index if entry["name"] == "waiting"
    )
    ready = client.post("/v2/repository/index", json={"ready": True}).json()
    assert "waiting" not in {entry["name"] for entry in ready}


def test_sizes_and_encodings(client: httpx.Client) -> None:
    error_of(client.post(INFER, content=b"x" * 1_000_001), 413)
    bomb = gzip.compress(b" " * 1_000_001)
    said = error_of(client.post(INFER, content=bomb, headers={"Content-Encoding": "gzip"}), 413)
    assert "1000000 bytes" in said
    whole = gzip.compress(body() + b" " * (1_000_000 - len(body())))
    fits = client.post(INFER, content=whole, headers={"Content-Encoding": "gzip"})
    assert fits.status_code == 200
    for encoding, status in (("br", 415), ("gzip, gzip", 415), ("gzip", 400), ("deflate", 400)):
        headers = {"Content-Encoding": encoding}
        error_of(client.post(INFER, content=body(), headers=headers), status)
    for length in ("1000", "-1", "x"):
        headers = {"Inference-Header-Content-Length": length}
        assert "Header" in error_of(client.post(INFER, content=body(), headers=headers), 400)
    for content in (b"[]", b"{", b'{"parameters": 7}', b'{"parameters": {"config": ""}}'):
        error_of(client.post("/v2/repository/models/echo/load", content=content), 400)


def test_a_deadline_that_has_passed(client: httpx.Client) -> None:
    late = {"inputs": [X], "parameters": {"timeout": 1}}
    response = client.post(INFER, json=late)
    if response.status_code != 200:  # it may have been fast enough
        assert "deadline" in error_of(response, response.status_code)


def test_values_without_a_json_form_need_binary_data(client: httpx.Client) -> None:
    tail = np.array([np.nan, np.inf], np.float32).tobytes()
    tensor = {**X, "parameters": {"binary_data_size": 8}}
    del tensor["data"]
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    said = error_of(client.post(INFER, content=head + tail, headers=headers), 400)
    assert "binary_data" in said
    asked = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(asked).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    response = client.post(INFER, content=head + tail, headers=headers)
    length = int(response.headers["inference-header-content-length"])
    assert response.content[length:] == tail


def test_no_content_type_is_needed_and_any_is_taken(client: httpx.Client) -> None:
    for kind in (None, "application/json", "application/octet-stream", "text/plain"):
        request = client.build_request("POST", INFER, content=body())
        if kind is not None:
            request.headers["content-type"] = kind
        assert client.send(request).json()["outputs"][0]["data"] == [1, 2]


def test_the_client_reads_the_errors(served: Serving, headers: dict[str, str]) -> None:
    with triton.InferenceServerClient(served.address) as client:
        with pytest.raises(InferenceServerException, match="API key") as caught:
            client.get_model_metadata("echo")
        assert caught.value.status() == "401"
        with pytest.raises(InferenceServerException, match="there is no model 'nope'") as caught:
            client.get_model_config("nope", headers=headers)
        assert caught.value.status() == "404"


def test_only_inference_takes_compressed_bodies(client: httpx.Client) -> None:
    packed = {"Content-Encoding": "gzip"}
    data = gzip.compress(body())
    for path in (INFER, "/v2/models/echo/versions/1/infer"):
        assert client.post(path, content=data, headers=packed).status_code == 200
    for path in ("/v2/repository/index", "/v2/models/echo/infer/more"):
        assert "encoded as 'gzip'" in error_of(client.post(path, content=data, headers=packed), 415)
