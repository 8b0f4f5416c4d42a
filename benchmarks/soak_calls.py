"""Requests of `benchmarks.soak` and their expected responses."""

import io
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from benchmarks.serving.networks import SHAPE

NUM_CLASSES = 10
_WIDTH = 2600  # 8 MiB of weights
_NPY = "application/x-npy"

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """One input in every encoding."""

    values: Scores
    json: list[object]
    npy: bytes
    png: bytes


@dataclass(frozen=True)
class Asked:
    """A response: its version, and scores or their softmax."""

    version: str
    values: Scores
    is_softmax: bool = False


@dataclass(frozen=True)
class Expected:
    """Expected outputs of each version of each model for each picture."""

    pictures: Sequence[Picture]
    outputs: Mapping[tuple[str, str], Scores]

    def is_right(self, model: str, picture: int, asked: Asked) -> bool:
        """Return whether a response matches the version that it names."""
        found = self.outputs.get((model, asked.version))
        if found is None:
            return False
        scores = found[picture]
        if asked.is_softmax:
            scores = np.exp(scores - scores.max())
            scores /= scores.sum()
        return asked.values.shape == scores.shape and bool(
            np.allclose(asked.values, scores, rtol=1e-3, atol=1e-4)
        )


def pictures(number: int, seed: int) -> list[Picture]:
    """Return random grey images, each in every encoding."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        pixels = random.integers(0, 256, SHAPE[2:], np.uint8)
        values = pixels.astype(np.float32)[None, None] * np.float32(1 / 255)
        npy, png = io.BytesIO(), io.BytesIO()
        np.save(npy, values)
        Image.fromarray(pixels).save(png, "PNG")
        found.append(Picture(values, values.tolist(), npy.getvalue(), png.getvalue()))
    return found


def write_wide(path: Path, seed: int) -> Path:
    """Write a network of two linear layers: large, but cheap to run."""
    random = np.random.default_rng(seed)
    sides = [int(np.prod(SHAPE)), _WIDTH, NUM_CLASSES]
    weights = [
        onnx.numpy_helper.from_array(
            (random.standard_normal(shape) / shape[0] ** 0.5).astype(np.float32), name
        )
        for name, shape in (("w1", sides[:2]), ("w2", sides[1:]))
    ]
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w1"], ["wide"]),
        helper.make_node("MatMul", ["wide", "w2"], ["output"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "wide",
        [value("x", TensorProto.FLOAT, ["batch", *SHAPE[1:]])],
        [value("output", TensorProto.FLOAT, ["batch", NUM_CLASSES])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


async def _json(client: httpx.AsyncClient, name: str, picture: Picture) -> Asked:
    sent = await client.post("/infer", json={"model": name, "inputs": picture.json})
    body = _checked(sent).json()
    return Asked(body["version"], np.asarray(body["outputs"], np.float32))


async def _npy(client: httpx.AsyncClient, name: str, picture: Picture) -> Asked:
    sent = await client.post(
        "/infer",
        params={"model": name},
        content=picture.npy,
        headers={"Content-Type": _NPY, "Accept": _NPY},
    )
    found = np.load(io.BytesIO(_checked(sent).content), allow_pickle=False)
    return Asked(sent.headers["x-model-version"], found)


async def _binary(client: httpx.AsyncClient, name: str, picture: Picture) -> Asked:
    data = picture.values.tobytes()
    tensor = {
        "name": "x",
        "shape": list(SHAPE),
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(data)},
    }
    head = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head_bytes = json.dumps(head).encode()
    model, _, alias = name.partition("@")
    path = f"/v2/models/{model}/versions/{alias}/infer" if alias else f"/v2/models/{model}/infer"
    length = {"Inference-Header-Content-Length": str(len(head_bytes))}
    sent = _checked(await client.post(path, content=head_bytes + data, headers=length))
    end = int(sent.headers["inference-header-content-length"])
    values = np.frombuffer(sent.content[end:], "<f4").reshape(1, -1)
    return Asked(json.loads(sent.content[:end])["model_version"], values)


async def _png(client: httpx.AsyncClient, name: str, picture: Picture) -> Asked:
    sent = await client.post(
        "/infer",
        params={"model": name, "top_k": NUM_CLASSES},
        content=picture.png,
        headers={"Content-Type": "image/png"},
    )
    body = _checked(sent).json()
    scores = {label["index"]: label["score"] for label in body["labels"][0]}
    values = np.array([[scores[index] for index in range(NUM_CLASSES)]], np.float32)
    return Asked(body["version"], values, is_softmax=True)


def _checked(sent: httpx.Response) -> httpx.Response:
    if sent.status_code != httpx.codes.OK:
        raise ValueError(f"{sent.status_code}: {sent.text[:200]}")
    return sent


CALLS: Mapping[str, Callable[[httpx.AsyncClient, str, Picture], Awaitable[Asked]]] = {
    "json": _json,
    "npy": _npy,
    "binary": _binary,
    "png": _png,
}
