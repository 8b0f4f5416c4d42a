"""Refusal of each kind of ONNX file that could do more than compute with its own numbers."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from app.contracts.onnx_files import OnnxError, check_onnx
from app.contracts.settings import LimitSettings

LIMITS = LimitSettings()
VALUE = helper.make_tensor_value_info
Change = Callable[[ModelProto], object]


def network() -> ModelProto:
    """y = x + w, with the constant ``c`` beside it."""
    constant = numpy_helper.from_array(np.ones(2, np.float32), "c")
    nodes = [
        helper.make_node("Constant", [], ["c"], value=constant),
        helper.make_node("Add", ["x", "w"], ["y"]),
    ]
    weights = [numpy_helper.from_array(np.ones(2, np.float32), "w")]
    graph = helper.make_graph(
        nodes,
        "g",
        [VALUE("x", TensorProto.FLOAT, ["batch", 2])],
        [VALUE("y", TensorProto.FLOAT, ["batch", 2])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def weight(model: ModelProto) -> TensorProto:
    return model.graph.initializer[0]


def external(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="data/api-key")


def branch(model: ModelProto, kind: str, attribute: str) -> None:
    body = helper.make_graph([], "body", [], [VALUE("x", TensorProto.FLOAT, None)])
    model.graph.node.add(op_type=kind, input=["x"], output=["z"]).attribute.append(
        helper.make_attribute(attribute, body)
    )


def function(model: ModelProto) -> None:
    model.functions.append(
        helper.make_function("", "F", ["a"], ["b"], [], [helper.make_opsetid("", 18)])
    )


def sparse(model: ModelProto) -> None:
    values, indices = (numpy_helper.from_array(np.ones(1, t), "s") for t in (np.float32, np.int64))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [9]))


def sparse_constant(model: ModelProto) -> None:
    values, indices = (numpy_helper.from_array(np.ones(1, t), "s") for t in (np.float32, np.int64))
    tensor = helper.make_sparse_tensor(values, indices, [9])
    model.graph.node.append(helper.make_node("Constant", [], ["s"], sparse_value=tensor))


def hidden_graph(model: ModelProto) -> None:
    """A graph in an attribute that claims to be a number."""
    branch(model, "If", "then_branch")
    model.graph.node[-1].attribute[0].type = onnx.AttributeProto.INT


REFUSED: dict[str, tuple[Change, str]] = {
    "external weight": (lambda m: external(weight(m)), "tensor 'w' in another file"),
    "external constant": (lambda m: external(m.graph.node[0].attribute[0].t), "another file"),
    "location without the flag": (
        lambda m: weight(m).external_data.add(key="location", value="/etc/passwd"),
        "another file",
    ),
    "external constant in a list": (
        lambda m: external(m.graph.node[1].attribute.add(name="x").tensors.add()),
        "another file",
    ),
    "imported domain": (
        lambda m: m.opset_import.append(helper.make_opsetid("com.microsoft", 1)),
        "operators of 'com.microsoft'",
    ),
    "domain of a node": (
        lambda m: setattr(m.graph.node[1], "domain", "ai.onnx.ml"),
        "calls 'Add' of 'ai.onnx.ml'",
    ),
    "function": (function, "defines 1 functions"),
    "overload": (lambda m: setattr(m.graph.node[1], "overload", "f"), "overload of 'Add'"),
    "if": (lambda m: branch(m, "If", "then_branch"), "a branch or a loop: 'If'"),
    "loop": (lambda m: branch(m, "Loop", "body"), "a branch or a loop: 'Loop'"),
    "scan": (lambda m: branch(m, "Scan", "body"), "a branch or a loop: 'Scan'"),
    "sequence map": (
        lambda m: branch(m, "SequenceMap", "body"),
        "a loop: 'SequenceMap'",
    ),
    "graph under another type": (hidden_graph, "a branch or a loop: 'If'"),
    "sparse weight": (sparse, "sparse weights"),
    "sparse constant": (sparse_constant, "inside 'Constant'"),
    "training": (lambda m: m.training_info.add(), "instructions for training"),
    "reference": (
        lambda m: m.graph.node[1].attribute.add(name="a", ref_attr_name="b"),
        "attribute 'b' of a function",
    ),
    "no version": (lambda m: m.ClearField("opset_import"), "names no version"),
    "negative size": (lambda m: weight(m).dims.append(-1), "impossible shape"),
    "more elements than data": (lambda m: weight(m).dims.append(10**12), "of shape"),
    "fewer elements than data": (lambda m: weight(m).dims.__setitem__(0, 1), "it has 8"),
    "unknown type": (lambda m: setattr(weight(m), "data_type", 999), "unknown type 999"),
    "no type": (lambda m: setattr(weight(m), "data_type", 0), "unknown type 0"),
    "two values": (lambda m: weight(m).float_data.extend([1, 2]), "of shape"),
    "segment": (lambda m: setattr(weight(m).segment, "end", 1), "in segments"),
    "input without end": (
        lambda m: m.graph.input.append(VALUE("z", TensorProto.FLOAT, [10**9, 10**9])),
        "input or output 'z'",
    ),
    "sequence": (
        lambda m: m.graph.output.append(
            helper.make_tensor_sequence_value_info("z", TensorProto.FLOAT, None)
        ),
        "'z', which is not a tensor",
    ),
    "no output": (lambda m: m.graph.ClearField("output"), "has no output"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_operators_that_do_more_than_compute_are_refused_by_name(kind: str) -> None:
    change, message = REFUSED[kind]
    model = network()
    change(model)
    with pytest.raises(OnnxError, match=message):
        check_onnx(model.SerializeToString(), LIMITS)


@pytest.mark.parametrize("place", ["model", "graph", "node", "attribute", "tensor"])
def test_fields_that_this_version_does_not_know_are_refused(place: str) -> None:
    model = network()
    part = {
        "model": model,
        "graph": model.graph,
        "node": model.graph.node[1],
        "attribute": model.graph.node[0].attribute[0],
        "tensor": weight(model),
    }[place]
    part.MergeFromString(b"\xf2\x3f\x01a")  # field 1022, one byte long
    with pytest.raises(OnnxError, match="unknown field 1022"):
        check_onnx(model.SerializeToString(), LIMITS)


def test_invalid_and_too_large_onnx_files_are_refused_with_the_limit() -> None:
    with pytest.raises(OnnxError, match="cannot be read"):
        check_onnx(b"\xff" * 40, LIMITS)
    with pytest.raises(OnnxError, match="names no version"):
        check_onnx(b"", LIMITS)
    data = network().SerializeToString()
    with pytest.raises(OnnxError, match=f"has {len(data)} bytes, at most 10 are allowed"):
        check_onnx(data, LimitSettings(model_bytes=10))
    model = network()
    model.graph.node.extend([helper.make_node("Relu", ["x"], ["z"])] * 20)
    with pytest.raises(OnnxError, match="has 22 nodes, at most 20 are allowed"):
        check_onnx(model.SerializeToString(), LimitSettings(graph_nodes=1))


@pytest.mark.parametrize("name", ["float16", "bool", "int64", "uint8", "complex64", "float64"])
def test_tensors_of_every_type_are_accepted_in_both_spellings(name: str) -> None:
    model = network()
    packed = numpy_helper.from_array(np.ones((2, 3), name), "a")
    spelled = helper.make_tensor("b", packed.data_type, [2, 3], np.ones(6, name).tolist())
    model.graph.initializer.extend([packed, spelled])
    model.graph.initializer.append(helper.make_tensor("i", TensorProto.INT4, [3], [1, 2, 3]))
    model.graph.initializer.append(helper.make_tensor("t", TensorProto.STRING, [1], [b"text"]))
    check_onnx(model.SerializeToString(), LIMITS)
