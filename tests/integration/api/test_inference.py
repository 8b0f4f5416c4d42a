"""Inference over HTTP with a small ONNX network."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.api import Api, running_api, write_linear_onnx, zip_bytes

SHAPE: list[int | str] = ["batch", 1, 2, 2]
WEIGHT = np.array([[1.0, 0, 2], [0, 1, 0], [0, 0, 1], [3, 0, 0]])


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path / "data", limits={"image_pixels": 10_000}) as found:
        yield found


@pytest.fixture
def model(api: Api, tmp_path: Path) -> str:
    write_linear_onnx(tmp_path / "m.onnx", WEIGHT, SHAPE)
    preprocess = {"scale": 1 / 255, "mean": [0.5], "std": [0.25]}
    return api.ready_model(
        tmp_path / "m.onnx", preprocess=preprocess, class_names=["cat", "dog", "bird"]
    )


def png(pixels: np.ndarray, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8), mode).save(buffer, "PNG")
    return buffer.getvalue()


def test_tensors_in_scores_out(api: Api, model: str) -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 1, 2, 2)
    response = api.client.post("/infer", json={"model": model, "inputs": x.tolist()})
    assert response.status_code == 200
    expected = x.reshape(3, 4) @ WEIGHT
    assert np.allclose(response.json()["outputs"], expected)
    named = {"inputs": {"input": x.tolist()}}
    again = api.client.post(f"/v1/models/{model}/infer", json=named)
    assert again.json() == response.json()


def test_batched_samples_have_the_outputs_of_single_ones(api: Api, model: str) -> None:
    x = np.random.default_rng(0).standard_normal((5, 1, 2, 2)).astype(np.float32)
    whole = api.client.post("/infer", json={"model": model, "inputs": x.tolist()}).json()
    for sample, expected in zip(x, whole["outputs"], strict=True):
        body = {"model": model, "inputs": [sample.tolist()]}
        assert api.client.post("/infer", json=body).json()["outputs"] == [expected]


def test_an_image_is_preprocessed_as_the_model_remembers(api: Api, model: str) -> None:
    pixels = np.array([[0, 255], [128, 64]])
    files = {"file": ("a.png", png(pixels))}
    response = api.client.post(f"/infer?model={model}&top_k=3", files=files)
    assert response.status_code == 200, response.text
    x = (pixels.reshape(1, 4) / 255 - 0.5) / 0.25
    scores = (x @ WEIGHT)[0]
    expected = np.exp(scores) / np.exp(scores).sum()
    found = {item["label"]: item["score"] for item in response.json()["labels"][0]}
    assert found == pytest.approx(
        dict(zip(["cat", "dog", "bird"], expected, strict=True)), rel=1e-4
    )
    best = response.json()["labels"][0][0]
    assert best["index"] == int(np.argmax(scores))


def test_any_size_and_colour_is_converted_and_many_images_go_together(api: Api, model: str) -> None:
    colour = np.zeros((30, 20, 3))
    files = [("file", ("a.png", png(colour, "RGB"))), ("file", ("b.png", png(np.ones((2, 2)))))]
    response = api.client.post(f"/v1/models/{model}/infer", files=files)
    assert len(response.json()["labels"]) == 2
    raw = api.client.post(
        f"/infer?model={model}", content=png(colour, "RGB"), headers={"Content-Type": "image/png"}
    )
    assert raw.json()["labels"][0] == response.json()["labels"][0]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([[[[1, 2]]]], "takes shape"),
        ([[1, 2], [3]], "nested lists"),
        ("hello", "nested lists"),
        ([], "takes shape"),
        ([[[[1e39, 0], [0, 0]]]], "finite"),
        ({"other": []}, "takes ['input']"),
        (None, "takes shape"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_a_reason(
    inputs: object, words: str, api: Api, model: str
) -> None:
    response = api.client.post("/infer", json={"model": model, "inputs": inputs})
    assert response.status_code == 422
    assert words in response.json()["detail"]


def test_invalid_and_too_large_images_are_refused(api: Api, model: str) -> None:
    url, headers = f"/infer?model={model}", {"Content-Type": "image/png"}
    assert api.client.post(url, content=b"GIF89a garbage", headers=headers).status_code == 422
    truncated = png(np.zeros((50, 50)))[:60]
    assert api.client.post(url, content=truncated, headers=headers).status_code == 422
    bomb = png(np.zeros((200, 200)))
    response = api.client.post(url, content=bomb, headers=headers)
    assert response.status_code == 413
    assert "200x200" in response.json()["detail"]


def test_only_the_owner_can_tell_missing_from_unready_models(api: Api, model: str) -> None:
    body = {"model": "mdl_nope", "inputs": [1]}
    assert api.client.post("/infer", json=body).status_code == 404
    response = api.client.post("/infer", json={**body, "model": model}, headers=api.other_tenant())
    assert response.status_code == 404
    assert api.client.post("/infer", json={"inputs": [1]}).status_code == 422
    waiting = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    assert api.client.post("/infer", json={**body, "model": waiting}).status_code == 409
    assert api.client.post("/infer", content=b"{").status_code == 422
