"""Small ONNX files, each with one property that matters to serving."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from app.contracts.settings import InferenceSettings
from app.serving.sessions import Session, open_session

node = helper.make_node


def write_onnx(
    path: Path,
    nodes: Sequence[NodeProto],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
    **weights: np.ndarray,
) -> Path:
    """Write a float32 network."""

    def values(shapes: dict[str, list[int | str]]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
        ]

    stored = [
        onnx.numpy_helper.from_array(v if v.dtype == np.int64 else v.astype(np.float32), name)
        for name, v in weights.items()
    ]
    graph = helper.make_graph(list(nodes), "network", values(inputs), values(outputs), stored)
    opsets = [helper.make_opsetid("", 18)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    )
    return path


def write_convolutions(path: Path) -> Path:
    """Write two convolutions, pooling and a linear layer on (batch, 1, 12, 12)."""
    random = np.random.default_rng(0)
    return write_onnx(
        path,
        [
            node("Conv", ["input", "w1"], ["a"], pads=[1, 1, 1, 1]),
            node("Relu", ["a"], ["b"]),
            node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1]),
            node("GlobalAveragePool", ["c"], ["d"]),
            node("Flatten", ["d"], ["e"]),
            node("Gemm", ["e", "w3", "b3"], ["output"]),
        ],
        {"input": ["batch", 1, 12, 12]},
        {"output": ["batch", 10]},
        w1=random.standard_normal((16, 1, 3, 3)),
        w2=random.standard_normal((32, 16, 3, 3)),
        w3=random.standard_normal((32, 10)),
        b3=random.standard_normal(10),
    )


def load(path: Path, **settings: object) -> Session:
    return open_session(path.read_bytes(), InferenceSettings(**settings))  # type: ignore[arg-type]
