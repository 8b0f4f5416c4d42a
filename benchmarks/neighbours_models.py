"""Models of `benchmarks.neighbours`: what the attacker serves and what both tenants upload."""

from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

from secateur.engine.program.exported import export

_LENGTH, _NUM_PRODUCTS = 6000, 20


def attacker_models() -> dict[str, onnx.ModelProto]:
    """Return networks that take much memory or time for each item, by name."""
    return {
        "huge": _model(
            [helper.make_node("GlobalAveragePool", ["x"], ["y"])], [3, 1500, 1500], [3, 1, 1], {}
        ),
        "expand": _expanded(8 * 1024**2),
        "attention": _attention(8000),
        "heavy": _heavy(60, 400),
    }


def small_model(path: Path) -> Path:
    """Write the small network that tenant B uploads."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    return _save(net, torch.randn(2, 1, 8, 8), path)


class _Slow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        for _ in range(_NUM_PRODUCTS):
            scores = hidden @ hidden.transpose(1, 2) / 64
            hidden = torch.softmax(scores, -1) @ hidden
        result: torch.Tensor = self.last(hidden.mean(1))
        return result


def slow_model(path: Path) -> Path:
    """Write attention over many positions: small, within all limits, and slow to check."""
    torch.manual_seed(0)
    return _save(_Slow(), torch.randn(2, _LENGTH, 4), path)


def _save(net: nn.Module, x: torch.Tensor, path: Path) -> Path:
    if not path.exists():
        torch.export.save(export(net.eval(), (x,)), path)
    return path


def _expanded(num_values: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["e"]),
        helper.make_node("ReduceMean", ["e", "axis"], ["y"], keepdims=0),
    ]
    return _model(nodes, [1], [], {"shape": [1, num_values], "axis": [1]})


def _attention(length: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["u"]),
        helper.make_node("Expand", ["u", "shape"], ["q"]),
        helper.make_node("Transpose", ["q"], ["k"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "k"], ["scores"]),
        helper.make_node("ReduceMean", ["scores", "axes"], ["y"], keepdims=0),
    ]
    return _model(nodes, [1], [], {"axis": [1], "shape": [1, length, 1], "axes": [1, 2]})


def _heavy(num_products: int, width: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["u"]),
        helper.make_node("Expand", ["u", "shape"], ["m"]),
        helper.make_node("Softmax", ["m"], ["p0"]),
        *(helper.make_node("MatMul", [f"p{n}", "p0"], [f"p{n + 1}"]) for n in range(num_products)),
        helper.make_node("ReduceMean", [f"p{num_products}", "axes"], ["y"], keepdims=0),
    ]
    return _model(nodes, [1], [], {"axis": [1], "shape": [1, width, width], "axes": [1, 2]})


def _model(
    nodes: list[onnx.NodeProto], x: list[int], y: list[int], ints: dict[str, list[int]]
) -> onnx.ModelProto:
    constants = [
        helper.make_node(
            "Constant", [], [name], value=helper.make_tensor(name, TensorProto.INT64, [len(v)], v)
        )
        for name, v in ints.items()
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [*constants, *nodes],
        "attack",
        [value("x", TensorProto.FLOAT, ["batch", *x])],
        [value("y", TensorProto.FLOAT, ["batch", *y])],
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)
