"""A pruned model compared with its base, on demand and in the background."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.inference.compare import compare
from tests.fixtures.api import Api, running_api, write_linear_onnx

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
