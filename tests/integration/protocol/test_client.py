"""Every call of tritonclient's HTTP client that needs no GPU or shared memory."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.fixtures.serving import Serving, identity

X = np.array([[1.5, -2.0], [0.25, 8.0]], np.float32)


@pytest.fixture
def client(served: Serving) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(served.address) as found:
        yield found


def tensor(name: str, values: np.ndarray, *, is_binary: bool = True) -> triton.InferInput:
    found = triton.InferInput(name, list(values.shape), "FP32")
    found.set_data_from_numpy(values, binary_data=is_binary)
    return found


def test_health_and_server_need_no_key(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    found = client.get_server_metadata()
    assert found["name"] == "secateur"
    assert "binary_tensor_data" in found["extensions"]


def test_a_model_describes_itself(
    client: triton.InferenceServerClient, headers: dict[str, str]
) -> None:
    assert client.is_model_ready("scaled", headers=headers)
    assert client.is_model_ready("scaled", "2", headers=headers)
    assert not client.is_model_ready("scaled", "9", headers=headers)
    assert not client.is_model_ready("nope", headers=headers)
    found = client.get_model_metadata("scaled", headers=headers)
    assert found == {
        "name": "scaled",
        "versions": ["3"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
    }
    assert client.get_model_metadata("scaled", "1", headers=headers)["versions"] == ["1"]
    config = client.get_model_config("pair", headers=headers)
    assert config["max_batch_size"] == 0
    assert config["input"][1] == {"name": "b", "data_type": "TYPE_FP32", "dims": [-1, 2]}
    assert client.get_model_config("pair", "1", headers=headers) == config


@pytest.mark.parametrize("is_binary_in", [True, False])
@pytest.mark.parametrize("is_binary_out", [True, False, None])
def test_tensors_go_in_and_come_out_both_ways(
    client: triton.InferenceServerClient,
    headers: dict[str, str],
    is_binary_in: bool,
    is_binary_out: bool | None,
) -> None:
    inputs = [tensor("a", X, is_binary=is_binary_in), tensor("b", X * 2, is_binary=is_binary_in)]
    outputs = None
    if is_binary_out is not None:
        outputs = [triton.InferRequestedOutput("difference", binary_data=is_binary_out)]
    result = client.infer("pair", inputs, outputs=outputs, request_id="mine", headers=dict(headers))
    answer = result.get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("mine", "pair", "1")
    assert np.array_equal(result.as_numpy("difference"), -X)
    if outputs is None:
        assert np.array_equal(result.as_numpy("sum"), X * 3)
    else:
        assert result.get_output("sum") is None


def test_one_output_may_be_binary_and_the_other_json(
    client: triton.InferenceServerClient, headers: dict[str, str]
) -> None:
    outputs = [
        triton.InferRequestedOutput("difference", binary_data=False),
        triton.InferRequestedOutput("sum", binary_data=True),
    ]
    inputs = [tensor("a", X), tensor("b", X, is_binary=False)]
    result = client.infer("pair", inputs, outputs=outputs, headers=dict(headers))
    assert [output["name"] for output in result.get_response()["outputs"]] == ["difference", "sum"]
    assert result.get_output("difference")["data"] == [0, 0, 0, 0]
    assert np.array_equal(result.as_numpy("sum"), X * 2)


@pytest.mark.parametrize("request_algorithm", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_algorithm", [None, "gzip", "deflate"])
def test_both_directions_may_be_compressed(
    client: triton.InferenceServerClient,
    headers: dict[str, str],
    request_algorithm: str | None,
    response_algorithm: str | None,
) -> None:
    x = np.arange(2000, dtype=np.float32).reshape(-1, 2)
    result = client.infer(
        "echo",
        [tensor("x", x)],
        headers=dict(headers),
        request_compression_algorithm=request_algorithm,
        response_compression_algorithm=response_algorithm,
    )
    assert np.array_equal(result.as_numpy("y"), x)


def test_a_compressed_answer_is_smaller(
    client: triton.InferenceServerClient, headers: dict[str, str]
) -> None:
    body, length = client.generate_request_body([tensor("x", np.zeros((5000, 2), np.float32))])
    headers = {**headers, "Inference-Header-Content-Length": str(length)}
    sizes = {}
    for encoding in ("identity", "gzip", "deflate"):
        asked = {**headers, "Accept-Encoding": encoding}
        response = client._post("v2/models/echo/infer", body, asked, None)
        assert response.get("Content-Encoding") == (None if encoding == "identity" else encoding)
        sizes[encoding] = len(response.read())
    assert sizes["identity"] > 40_000
    assert max(sizes["gzip"], sizes["deflate"]) < 1000


def test_an_asynchronous_request_of_the_blocking_client(
    client: triton.InferenceServerClient, headers: dict[str, str]
) -> None:
    pending = [
        client.async_infer("scaled", [tensor("x", X)], model_version=v, headers=dict(headers))
        for v in ("1", "2", "3")
    ]
    for factor, request in enumerate(pending, start=1):
        assert np.array_equal(request.get_result().as_numpy("y"), X * factor)


def test_tritonclients_static_helpers_work_with_the_server(
    client: triton.InferenceServerClient, headers: dict[str, str]
) -> None:
    body, length = client.generate_request_body([tensor("x", X)])
    asked = {**headers, "Inference-Header-Content-Length": str(length)}
    response = client._post("v2/models/echo/infer", body, asked, None)
    found = int(response.get("Inference-Header-Content-Length"))
    result = client.parse_response_body(response.read(), header_length=found)
    assert np.array_equal(result.as_numpy("y"), X)


def test_the_highest_scores_come_with_their_labels(
    client: triton.InferenceServerClient, headers: dict[str, str]
) -> None:
    for is_binary in (True, False):
        outputs = [triton.InferRequestedOutput("y", binary_data=is_binary, class_count=1)]
        result = client.infer("echo", [tensor("x", X)], outputs=outputs, headers=dict(headers))
        found = [
            text.decode() if isinstance(text, bytes) else text
            for text in result.as_numpy("y").ravel()
        ]
        assert found == ["1.500000:0:cat", "8.000000:1:dog"]
        assert result.get_output("y")["datatype"] == "BYTES"


def test_statistics_count_successes_and_failures(
    client: triton.InferenceServerClient, served: Serving
) -> None:
    served.add_model("counted", identity(), tenant="counter")
    headers = served.key("counter")
    before = client.get_inference_statistics("counted", "1", headers=headers)["model_stats"][0]
    assert before["inference_count"] == before["inference_stats"]["success"]["count"] == 0
    for _ in range(3):
        client.infer("counted", [tensor("x", X)], headers=dict(headers))
    with pytest.raises(InferenceServerException, match="takes shape"):
        client.infer("counted", [tensor("x", np.zeros((1, 3), np.float32))], headers=dict(headers))
    for found in (
        client.get_inference_statistics("counted", headers=headers),
        client.get_inference_statistics(headers=headers),
    ):
        (stats,) = found["model_stats"]
        assert (stats["name"], stats["version"]) == ("counted", "1")
        assert stats["inference_count"] == 6
        assert 1 <= stats["execution_count"] <= 3
        parts = stats["inference_stats"]
        assert {name: part["count"] for name, part in parts.items()} == {
            **dict.fromkeys(
                ("success", "queue", "compute_input", "compute_infer", "compute_output"), 3
            ),
            "fail": 1,
            "cache_hit": 0,
            "cache_miss": 0,
        }
        inside = sum(parts[name]["ns"] for name in parts if name.startswith("compute"))
        assert 0 < inside <= parts["success"]["ns"]
        assert stats["batch_stats"][0]["batch_size"] == 2
        assert stats["last_inference"] > 0


def test_the_repository_lists_loads_and_unloads(
    client: triton.InferenceServerClient, headers: dict[str, str]
) -> None:
    index = client.get_model_repository_index(headers=headers)
    assert {"name": "scaled", "version": "2", "state": "READY", "reason": ""} in index
    client.unload_model("scaled", headers=headers)
    client.unload_model("scaled", headers=headers, unload_dependents=True)
    client.load_model("scaled", headers=headers)
    result = client.infer("scaled", [tensor("x", X)], headers=dict(headers))
    assert np.array_equal(result.as_numpy("y"), X * 3)
    with pytest.raises(InferenceServerException, match="cannot be overridden"):
        client.load_model("scaled", headers=headers, config="{}")
    with pytest.raises(InferenceServerException, match="cannot be overridden"):
        client.load_model("scaled", headers=headers, config="{}", files={"file:1/m.onnx": b"x"})


def test_shared_memory_and_missing_features_are_refused(
    client: triton.InferenceServerClient, headers: dict[str, str]
) -> None:
    shared = triton.InferInput("x", [1, 2], "FP32")
    shared.set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match="shared memory is not supported"):
        client.infer("echo", [shared], headers=dict(headers))
    output = triton.InferRequestedOutput("y")
    output.set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match="shared memory is not supported"):
        client.infer("echo", [tensor("x", X)], outputs=[output], headers=dict(headers))
    for call in (
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
        client.get_trace_settings,
        client.get_log_settings,
    ):
        with pytest.raises(InferenceServerException, match="Not Found") as caught:
            call(headers=headers)
        assert caught.value.status() == "404"


def test_parameters_of_a_request_are_taken(
    client: triton.InferenceServerClient, headers: dict[str, str]
) -> None:
    result = client.infer(
        "echo",
        [tensor("x", X)],
        priority=1,
        timeout=60_000_000,
        parameters={"anything": "goes"},
        headers=dict(headers),
    )
    assert np.array_equal(result.as_numpy("y"), X)


def test_the_asyncio_client_can_do_the_same(served: Serving, headers: dict[str, str]) -> None:
    async def talk() -> None:
        async with triton_aio.InferenceServerClient(served.address) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert (await client.get_server_metadata())["name"] == "secateur"
            assert await client.is_model_ready("scaled", "1", headers=headers)
            assert not await client.is_model_ready("nope", headers=headers)
            metadata = await client.get_model_metadata("pair", headers=headers)
            assert [output["name"] for output in metadata["outputs"]] == ["sum", "difference"]
            config = await client.get_model_config("pair", headers=headers)
            assert config["backend"] == "onnxruntime"
            index = await client.get_model_repository_index(headers=headers)
            assert any(entry["name"] == "pair" for entry in index)
            await client.unload_model("pair", headers=headers)
            await client.load_model("pair", headers=headers)
            x = np.arange(2000, dtype=np.float32).reshape(-1, 2)
            for algorithm in (None, "gzip", "deflate"):
                asked = [tensor("a", x), tensor("b", x)]
                result = await client.infer(
                    "pair",
                    asked,
                    request_id="id",
                    headers=dict(headers),
                    request_compression_algorithm=algorithm,
                    response_compression_algorithm=algorithm,
                )
                assert result.get_response()["id"] == "id"
                assert np.array_equal(result.as_numpy("sum"), x * 2)
            many = [
                client.infer("scaled", [tensor("x", X)], model_version="2", headers=dict(headers))
                for _ in range(16)
            ]
            for result in await asyncio.gather(*many):
                assert np.array_equal(result.as_numpy("y"), X * 2)
            stats = await client.get_inference_statistics("scaled", "2", headers=headers)
            assert stats["model_stats"][0]["inference_count"] >= 32
            with pytest.raises(InferenceServerException, match="there is no model"):
                await client.infer("nope", [tensor("x", X)], headers=dict(headers))

    asyncio.run(talk())
