"""What an ONNX file says, after the checks that make it safe to compute with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, numpy_helper

from secateur.engine.errors import ModelRejectedError, ModelTooLargeError, UnsupportedOpError
from secateur.engine.onnx_in.call import Node, shown, to_dtype
from secateur.engine.onnx_in.inputs import OnnxInput, Shape, read_inputs
from secateur.engine.onnx_in.operators.table import OPERATORS
from secateur.engine.program.limits import ModelLimits

OLDEST_OPSET = 7
_QUANTIZED = frozenset(
    """ConvInteger MatMulInteger QLinearConv QLinearMatMul QuantizeLinear DequantizeLinear
    DynamicQuantizeLinear""".split()
)
_CONTROL_FLOW = frozenset("If Loop Scan SequenceMap".split())


@dataclass(frozen=True)
class OnnxFile:
    """Contents of an ONNX file.

    Attributes:
        nodes: Nodes that the outputs depend on, in order; each with its protobuf.
        tensors: Initialisers, and the values of Constant nodes, by name.
        inputs: Inputs, without initialisers.
        output_names: Names of the outputs.
        opset: Version of ONNX's operators.
        batch_size: Number of samples that the file was made for; None: any.
        metadata: Its own properties, such as the characters that a text recogniser knows.
    """

    nodes: tuple[tuple[Node, NodeProto], ...]
    tensors: Mapping[str, np.ndarray]
    inputs: tuple[OnnxInput, ...]
    output_names: tuple[str, ...]
    opset: int
    batch_size: int | None
    metadata: tuple[tuple[str, str], ...]


def parse(model: ModelProto, limits: ModelLimits, shapes: tuple[Shape, ...] | None) -> OnnxFile:
    """Return the contents of a checked model, and remove nodes that no output depends on.

    Args:
        model: A model that `secateur.core.onnx_files` accepts.
        limits: Limits on nodes and elements.
        shapes: Shapes of the inputs, for a file whose sizes are not fixed; None: those of the file.

    Raises:
        ModelRejectedError: The file cannot be a network with a batch.
        UnsupportedOpError: It has an operator that is not known.
        ModelTooLargeError: It is over a limit.
    """
    graph = model.graph
    opset = _opset(model)
    protos = _needed(graph)
    count = sum(proto.op_type != "Constant" for proto in protos)
    if count > limits.graph_nodes:
        raise ModelTooLargeError(f"the ONNX file has {count} nodes, at most {limits.graph_nodes}")
    del graph.node[:]
    graph.node.extend(protos)
    nodes = [(_node(number, proto), proto) for number, proto in enumerate(protos)]
    for node, _ in nodes:
        _check_operator(node)
    tensors = dict(_tensors(graph, nodes))
    count = sum(array.size for array in tensors.values())
    if count > limits.tensor_elements:
        raise ModelTooLargeError(
            f"the tensors have {count} elements, at most {limits.tensor_elements}"
        )
    nodes = [pair for pair in nodes if pair[0].operator != "Constant"]
    found = [value for value in graph.input if value.name not in tensors]
    if not found or len({value.name for value in found}) < len(found):
        raise ModelRejectedError("the ONNX file has no input, or two inputs of one name")
    output_names = tuple(value.name for value in graph.output)
    if len(set(output_names)) < len(output_names):
        raise ModelRejectedError("the ONNX file has two outputs of one name")
    inputs, batch_size = read_inputs(found, shapes)
    return OnnxFile(
        nodes=tuple(nodes),
        tensors=tensors,
        inputs=inputs,
        output_names=output_names,
        opset=opset,
        batch_size=batch_size,
        metadata=tuple((each.key, each.value) for each in model.metadata_props),
    )


def _opset(model: ModelProto) -> int:
    found = max(each.version for each in model.opset_import)
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= found <= newest:
        raise ModelRejectedError(
            f"the ONNX file has opset {found}; opsets {OLDEST_OPSET} to {newest} are accepted. "
            "Convert it: onnx.version_converter.convert_version(model, 18)"
        )
    return int(found)


def _needed(graph: onnx.GraphProto) -> list[NodeProto]:
    """Return the nodes that the outputs depend on.

    Raises:
        ModelRejectedError: A value has two makers or none, or is read before it is made.
    """
    made = {value.name for value in (*graph.input, *graph.initializer)}
    for proto in graph.node:
        for name in proto.input:
            if name and name not in made:
                raise ModelRejectedError(
                    f"the ONNX file reads {shown(name)} before anything makes it"
                )
        for name in proto.output:
            if name in made:
                raise ModelRejectedError(f"the ONNX file makes {shown(name)} twice")
            if name:
                made.add(name)
    wanted = {value.name for value in graph.output}
    if missing := sorted(wanted - made):
        raise ModelRejectedError(f"nothing makes the output {shown(missing[0])}")
    needed: list[NodeProto] = []
    for proto in reversed(graph.node):
        if wanted.intersection(proto.output):
            needed.append(proto)
            wanted.update(proto.input)
    return needed[::-1]


def _node(number: int, proto: NodeProto) -> Node:
    attributes = {each.name: _attribute(each) for each in proto.attribute}
    name = proto.name or f"number {number}"
    return Node(name, proto.op_type, tuple(proto.input), tuple(proto.output), attributes)


def _attribute(proto: AttributeProto) -> Any:  # noqa: ANN401  # any attribute
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
        return to_array(value)
    if proto.type == AttributeProto.STRINGS:
        return [each.decode("utf-8", "replace") for each in value]
    return list(value) if proto.type in {AttributeProto.INTS, AttributeProto.FLOATS} else value


def _check_operator(node: Node) -> None:
    if node.operator in _QUANTIZED:
        raise UnsupportedOpError(
            f"{node.where} is quantised, and pruning needs the numbers before quantisation",
            hint="Send the float32 file, and quantise the pruned network.",
        )
    if node.operator in _CONTROL_FLOW:
        raise UnsupportedOpError(f"{node.where} is control flow, which is not accepted")
    if node.operator != "Constant" and node.operator not in OPERATORS:
        raise UnsupportedOpError(f"{node.where} is not an operator that can be imported")


def _tensors(
    graph: onnx.GraphProto, nodes: list[tuple[Node, NodeProto]]
) -> Iterator[tuple[str, np.ndarray]]:
    for tensor in graph.initializer:
        yield tensor.name, to_array(tensor)
    for node, _ in nodes:
        if node.operator == "Constant":
            yield node.outputs[0], _constant(node)


def _constant(node: Node) -> np.ndarray:
    kinds = {"value_float": np.float32, "value_int": np.int64}
    kinds |= {f"{name}s": dtype for name, dtype in kinds.items()}
    for name, value in node.attributes.items():
        if name == "value" and isinstance(value, np.ndarray):
            return value
        if name in kinds:
            return np.array(value, dtype=kinds[name])
    raise UnsupportedOpError(f"{node.where} holds a value that is not a tensor of numbers")


def to_array(tensor: onnx.TensorProto) -> np.ndarray:
    """Return a tensor's numbers.

    Raises:
        ModelRejectedError: They are of a type that no network computes with.
    """
    if to_dtype(tensor.data_type) is None:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        raise ModelRejectedError(
            f"the tensor {shown(tensor.name)} of the ONNX file has the type {kind.lower()}, "
            "which is not supported"
        )
    return np.array(numpy_helper.to_array(tensor))
