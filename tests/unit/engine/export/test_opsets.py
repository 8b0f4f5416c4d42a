"""Older ONNX opsets: each rule gives the same numbers, and what cannot be expressed is refused."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from secateur.engine.errors import ExportError
from secateur.engine.export.opset_rules import RULES
from secateur.engine.export.opsets import lower_opset, own_opset

SHAPE = (2, 3, 4, 6)


def model(
    op: str, constants: dict[str, Any] | None = None, more: tuple[str, ...] = (), **attributes: Any
) -> ModelProto:
    """Return a model of one node that reads ``x`` and constants; "" leaves an input out."""
    stored = {name: np.asarray(value) for name, value in (constants or {}).items()}
    inputs = ["x", *(more or stored)] if op != "Constant" else []
    node = helper.make_node(op, inputs, ["y"], **attributes)
    nodes = [node] if op != "Constant" else [node, helper.make_node("Add", ["x", "y"], ["z"])]
    out = helper.make_empty_tensor_value_info("y" if op != "Constant" else "z")
    graph = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [out],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnx.shape_inference.infer_shapes(found, strict_mode=True)


def run(found: ModelProto) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(found.SerializeToString(), options)
    x = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    return session.run(None, {"x": x})[0]


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


_SCALES = np.array([1, 1, 2, 2], np.float32)
CASES: dict[str, ModelProto] = {
    **{
        f"Reduce{name}": model(f"Reduce{name}", {"axes": ints(1, -1)}, keepdims=0)
        for name in "Max Min Mean Prod L1 L2 LogSumExp SumSquare Sum".split()
    },
    "ReduceMean of all": model("ReduceMean"),
    "ReduceSum of none": model("ReduceSum", noop_with_empty_axes=1),
    "Squeeze": model("Unsqueeze", {"axes": ints(1)}),
    "Split, evenly": model("Split", num_outputs=1, axis=1),
    "Split, by sizes": model("Split", {"sizes": ints(3)}, axis=1),
    "Pad": model("Pad", {"pads": ints(0, 0, 1, 2, 0, 0, 3, 0)}),
    "Pad of axes": model("Pad", {"pads": ints(1, 2), "axes": ints(-1)}, ("pads", "", "axes")),
    "Softmax over channels": model("Softmax", axis=1),
    "Softmax over the last": model("Softmax"),
    "LogSoftmax over rows": model("LogSoftmax", axis=2),
    "HardSwish": model("HardSwish"),
    "Mish": model("Mish"),
    "LayerNormalization": model(
        "LayerNormalization",
        {"scale": np.ones((4, 6), np.float32) * 2, "bias": np.ones((4, 6), np.float32)},
        axis=-2,
    ),
    "LayerNormalization without a bias": model(
        "LayerNormalization", {"scale": np.full((3, 4, 6), 0.5, np.float32)}, axis=1
    ),
    "LessOrEqual": model("LessOrEqual", {"limit": np.float32(0.1)}),
    "GreaterOrEqual": model("GreaterOrEqual", {"limit": np.float32(0.1)}),
    "Shape": model("Shape", start=1, end=-1),
    "Reshape": model("Reshape", {"sizes": ints(2, -1)}, allowzero=0),
    "Resize by scales": model("Resize", {"scales": _SCALES}, ("", "scales"), mode="linear"),
    "Resize to a size": model(
        "Resize",
        {"sizes": ints(2, 3, 8, 9)},
        ("", "", "sizes"),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    "Constant": model("Constant", value_floats=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    "Relu, as it is": model("Relu"),
    "Clip": model("Clip", {"low": np.float32(0), "high": np.float32(1)}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_node_gives_the_same_numbers_at_every_older_opset(name: str) -> None:
    given = CASES[name]
    expected = run(given)
    for opset in range(11, 18):
        lowered = lower_opset(given, opset)
        assert own_opset(lowered) == opset
        found = run(lowered)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_every_rule_has_a_case() -> None:
    used = {node.op_type for case in CASES.values() for node in case.graph.node}
    assert RULES.keys() - used == {"ReduceLogSum", "Squeeze"}, "the axes are those of their kind"


@pytest.mark.parametrize(
    ("given", "opset", "named"),
    [
        (model("Trilu"), 13, r"Trilu \(opset 14 or newer\)"),
        (model("Celu"), 11, r"Celu \(opset 12 or newer\)"),
        (model("ReduceMax", {"axes": ints(1)}, ("x",)), 17, r"ReduceMax \(opset 18 or newer\)"),
    ],
)
def test_what_an_opset_cannot_express_is_refused_with_the_oldest_that_can(
    given: ModelProto, opset: int, named: str
) -> None:
    with pytest.raises(ExportError, match=named) as caught:
        lower_opset(given, opset)
    assert named.split("opset ")[1].split(maxsplit=1)[0] in caught.value.hint


def test_a_model_that_is_old_enough_is_left_alone() -> None:
    given = CASES["HardSwish"]
    assert lower_opset(given, 18) is given
