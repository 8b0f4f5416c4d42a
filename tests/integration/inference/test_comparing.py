"""A pruned model compared with its base, on demand and in the background."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.inference.compare import compare
from secateur.engine.quantize import write_int8
from tests.fixtures.api import Api, running_api, write_linear_onnx
from tests.fixtures.onnx_graphs import drawn, network, node, saved

X = [[[[1, 2], [3, 4]]], [[[4, 3], [2, 1]]]]
SHAPE: list[int | str] = ["batch", 1, 2, 2]
DENSE = np.array([[1.0, 0], [0, 1], [0, 0], [0, 0]])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("comparing") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def models(api: Api, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return a dense model and one that was pruned from it and prefers class 0."""
    folder = tmp_path_factory.mktemp("models")
    write_linear_onnx(folder / "dense.onnx", DENSE, SHAPE)
    write_linear_onnx(folder / "pruned.onnx", DENSE + np.array([[3.0, 0]] + [[0, 0]] * 3), SHAPE)
    dense = api.ready_model(folder / "dense.onnx")
    return dense, api.ready_model(folder / "pruned.onnx", parent_id=dense)


def infer(api: Api, model: str, **parameters: object) -> Any:
    body = {"inputs": X, "parameters": parameters}
    return api.client.post(f"/v1/models/{model}/infer", json=body)


def test_either_or_both_networks_answer_with_a_comparison(
    api: Api, models: tuple[str, str]
) -> None:
    dense, pruned = models
    plain = infer(api, pruned).json()
    base = infer(api, pruned, variant="base").json()
    assert (base["model"], base["outputs"]) == (dense, [[1, 2], [4, 3]])
    both = infer(api, pruned, variant="both").json()
    assert both["outputs"] == plain["outputs"] == [[4, 2], [16, 3]]
    assert both["base"] == base
    comparison = both["comparison"]
    # The first sample is class 1 to the dense network and class 0 to the pruned one.
    assert (comparison["agreement"], comparison["max_difference"]) == (0.5, 12)
    assert all(seconds > 0 for seconds in comparison["seconds"].values())


def test_v2_answers_one_variant_with_the_difference(api: Api, models: tuple[str, str]) -> None:
    def infer_v2(variant: str) -> Any:
        tensor = {"name": "input", "datatype": "FP32", "shape": [2, 1, 2, 2], "data": X}
        body = {"inputs": [tensor], "parameters": {"variant": variant}}
        return api.client.post(f"/v2/models/{models[1]}/infer", json=body).json()

    assert infer_v2("base")["outputs"][0]["data"] == [1, 2, 4, 3]
    both = infer_v2("both")
    assert both["outputs"][0]["data"] == [4, 2, 16, 3]
    said = both["parameters"]
    assert (said["agreement"], said["max_difference"]) == (0.5, 12)
    assert said["base_seconds"] > 0
    assert said["pruned_seconds"] > 0
    assert "must be one of" in infer_v2("dense")["error"]


def test_a_base_without_names_is_compared_by_the_order_of_its_tensors(
    api: Api, models: tuple[str, str], tmp_path: Path
) -> None:
    write_linear_onnx(tmp_path / "new.onnx", 2 * DENSE, SHAPE, names=("image", "scores"))
    pruned = api.ready_model(tmp_path / "new.onnx", parent_id=models[0])
    both = infer(api, pruned, variant="both").json()
    assert both["comparison"] == both["comparison"] | {"agreement": 1, "max_difference": 4}
    tensor = {"name": "image", "datatype": "FP32", "shape": [2, 1, 2, 2], "data": X}
    body = {"inputs": [tensor], "outputs": [{"name": "scores"}], "parameters": {"variant": "base"}}
    (found,) = api.client.post(f"/v2/models/{pruned}/infer", json=body).json()["outputs"]
    assert (found["name"], found["data"]) == ("scores", [1, 2, 4, 3])


def test_an_uploaded_model_has_no_base(api: Api, models: tuple[str, str]) -> None:
    response = infer(api, models[0], variant="both")
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/parameters/variant"


def test_plain_numbers_agree_within_a_hundredth_of_the_largest() -> None:
    base = {"y": np.array([[10.0], [1], [0]])}
    near = compare(base, {"y": np.array([[10.05], [1.2], [0]])})
    assert (near.num_agreeing, near.num_compared) == (2, 3)
    assert near.max_difference == pytest.approx(0.2)
    assert compare(base, {"z": base["y"]}).num_compared == 0  # nothing in common


def figures(api: Api, name: str) -> dict[str, float]:
    """Return a metric's values by its labels."""
    lines = api.client.get("/metrics").text.splitlines()
    found = [line.removeprefix(name).rsplit(" ", 1) for line in lines if line.startswith(name)]
    return {labels: float(value) for labels, value in found}


def test_a_share_of_the_requests_is_compared_in_the_background(
    tmp_path: Path,
) -> None:
    with running_api(tmp_path / "data", inference={"shadow_share": 0.5}) as api:
        write_linear_onnx(tmp_path / "dense.onnx", DENSE, SHAPE)
        write_linear_onnx(tmp_path / "pruned.onnx", 2 * DENSE, SHAPE)
        dense = api.ready_model(tmp_path / "dense.onnx")
        pruned = api.ready_model(tmp_path / "pruned.onnx", parent_id=dense)
        never = api.ready_model(
            tmp_path / "pruned.onnx", parent_id=dense, meta={"shadow_share": "0"}
        )

        def taken() -> int:
            return int(sum(figures(api, "secateur_shadow_requests_total").values()))

        for number in range(4):
            assert infer(api, pruned).status_code == 200
            assert infer(api, never).status_code == 200
            end = time.monotonic() + 20  # it is counted when it ends, after the answer
            while taken() < (number + 1) // 2 and time.monotonic() < end:
                time.sleep(0.01)
        assert figures(api, "secateur_shadow_requests_total") == {'{outcome="compared"}': 2}
        assert figures(api, "secateur_shadow_compared_total") == {"": 4}  # two samples each
        assert figures(api, "secateur_shadow_agreeing_total") == {"": 4}
        assert figures(api, "secateur_shadow_max_difference") == {"": 4}


@pytest.fixture(scope="module")
def with_int8(api: Api, models: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pruned model with an int8 file, which gives slightly other numbers."""
    folder = tmp_path_factory.mktemp("int8")
    weights = DENSE + np.array([[3.0, 0]] + [[0, 0]] * 3)
    write_linear_onnx(folder / "pruned.onnx", weights, SHAPE)
    write_linear_onnx(folder / "int8.onnx", weights + 0.5, SHAPE)
    int8 = api.context.store.put_file(folder / "int8.onnx")
    return api.ready_model(folder / "pruned.onnx", parent_id=models[0], int8_sha256=int8)


def test_the_int8_form_answers_alone_or_beside_the_others(api: Api, with_int8: str) -> None:
    alone = infer(api, with_int8, variant="int8").json()
    assert (alone["model"], alone["outputs"]) == (with_int8, [[9, 7], [21, 8]])
    everything = infer(api, with_int8, variant="all").json()
    assert everything["outputs"] == infer(api, with_int8).json()["outputs"] == [[4, 2], [16, 3]]
    assert everything["base"] == infer(api, with_int8, variant="base").json()
    assert everything["int8"] == {"outputs": alone["outputs"]}
    comparison = everything["comparison"]
    assert comparison["int8"] == {"agreement": 1, "max_difference": 5}
    assert (comparison["agreement"], comparison["max_difference"]) == (0.5, 12)
    assert set(comparison["seconds"]) == {"base", "pruned", "int8"}
    assert infer(api, with_int8, variant="both").json().keys().isdisjoint({"int8"})
    model = api.client.get(f"/v1/models/{with_int8}").json()
    assert model["variants"] == ["pruned", "base", "int8"]


def test_int8_is_served_by_version_and_by_alias(api: Api, with_int8: str) -> None:
    version = api.client.get(f"/v1/models/{with_int8}").json()["version"]
    targets = {"targets": [{"version": version}]}
    assert api.client.put("/v1/models/net/aliases/small", json=targets).status_code == 201
    for reference in (f"net@{version}", "net@small"):
        body = {"model": reference, "inputs": X, "parameters": {"variant": "int8"}}
        found = api.client.post("/infer", json=body).json()
        assert found["outputs"] == [[9, 7], [21, 8]], found
    tensor = {"name": "input", "datatype": "FP32", "shape": [2, 1, 2, 2], "data": X}
    body = {"inputs": [tensor], "parameters": {"variant": "all"}}
    found = api.client.post("/v2/models/net/versions/small/infer", json=body).json()
    assert found["outputs"][0]["data"] == [4, 2, 16, 3]
    said = found["parameters"]
    assert (said["int8_agreement"], said["int8_max_difference"]) == (1, 5)
    assert said["int8_seconds"] > 0
    body = {"inputs": [tensor], "parameters": {"variant": "int8"}}
    found = api.client.post("/v2/models/net/versions/small/infer", json=body).json()
    assert found["outputs"][0]["data"] == [9, 7, 21, 8]


def test_a_model_without_int8_says_why_and_which_variants_it_has(
    api: Api, models: tuple[str, str], tmp_path: Path
) -> None:
    write_linear_onnx(tmp_path / "slow.onnx", DENSE, SHAPE)
    report = {"macs": 1, "int8": {"is_served": False, "reason": "No int8 file: it is slower."}}
    slow = api.ready_model(tmp_path / "slow.onnx", parent_id=models[0], report=report)
    asked = api.ready_model(tmp_path / "slow.onnx", parent_id=models[0], job_id="job_1")
    for variant in ("int8", "all"):
        for model, words in (
            (slow, "No int8 file: it is slower. It can be asked for pruned, base"),
            (asked, "Its job was not asked for one: set precision.kind to int8"),
            (models[0], "It was uploaded"),
        ):
            response = infer(api, model, variant=variant)
            assert response.status_code == 422
            assert response.json()["errors"][0]["pointer"] == "/parameters/variant"
            assert words in response.json()["detail"]
            tensor = {"name": "input", "datatype": "FP32", "shape": [2, 1, 2, 2], "data": X}
            body = {"inputs": [tensor], "parameters": {"variant": variant}}
            answer = api.client.post(f"/v2/models/{model}/infer", json=body)
            assert words in answer.json()["error"]


def test_a_real_int8_file_is_loaded_and_computed(api: Api, tmp_path: Path) -> None:
    weights = {"w": drawn(4, 3, 3, 3), "v": drawn(4, 4, 3, 3)}
    conv, relu = node("Conv", "x w", "a"), node("Relu", "a", "b")
    path = saved(network(conv, relu, node("Conv", "b v"), weights=weights), tmp_path)
    x = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    write_int8(path, tmp_path / "int8.onnx", [(x,)])
    int8 = api.context.store.put_file(tmp_path / "int8.onnx")
    model = api.ready_model(path, int8_sha256=int8)
    body = {"inputs": x.tolist()}
    fp32 = api.client.post(f"/v1/models/{model}/infer", json=body).json()["outputs"]
    body["parameters"] = {"variant": "int8"}
    small = api.client.post(f"/v1/models/{model}/infer", json=body).json()["outputs"]
    largest = np.abs(fp32).max()
    assert 0 < np.abs(np.array(fp32) - np.array(small)).max() < 0.05 * largest
