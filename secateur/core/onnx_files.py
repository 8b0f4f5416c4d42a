"""Refusal of ONNX files that could do more than compute with the numbers they hold.

The engine checks a file before it imports it, the worker before it stores a job's, and the serving
process before ONNX Runtime opens it. Refused are data in other files, operators outside ONNX,
functions, subgraphs, sparse tensors, and tensors whose data does not have their size.
"""

from collections.abc import Iterable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

_DOMAINS = frozenset({"", "ai.onnx"})
_MOST_RANK = 64
_MOST_PLACES = 2**48
_SHOWN_CHARACTERS = 100
_GRAPHS = ("g", "graphs")
_NESTED = ("sparse_tensor", "sparse_tensors", "tp", "type_protos")
# The field that holds a tensor's values unless they are in ``raw_data``; all others: int32_data.
_FIELDS = {
    "FLOAT": "float_data",
    "COMPLEX64": "float_data",
    "DOUBLE": "double_data",
    "COMPLEX128": "double_data",
    "INT64": "int64_data",
    "UINT64": "uint64_data",
    "UINT32": "uint64_data",
    "STRING": "string_data",
}
_ALL_FIELDS = frozenset({*_FIELDS.values(), "int32_data"})
_BITS = {
    **dict.fromkeys(("UINT2", "INT2"), 2),
    **dict.fromkeys(("UINT4", "INT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("UINT8", "INT8", "BOOL", "FLOAT8E8M0"), 8),
    **dict.fromkeys(("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), 8),
    **dict.fromkeys(("UINT16", "INT16", "FLOAT16", "BFLOAT16"), 16),
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64", "COMPLEX64"), 64),
    "COMPLEX128": 128,
}
_VALUES_AN_ELEMENT = {"COMPLEX64": 2, "COMPLEX128": 2}
_BYTE = 8


class OnnxError(ValueError):
    """An ONNX file is refused; the message follows the words "the ONNX file"."""


def parse_onnx(data: bytes, most_nodes: int, most_elements: int) -> "ModelProto":
    """Return the model in a file that only computes with its own numbers.

    Args:
        data: The file's bytes.
        most_nodes: Nodes that are allowed.
        most_elements: Elements of an input or output that are allowed.

    Raises:
        OnnxError: The file is refused.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415  # slow, and few need it
    from onnx import ModelProto  # noqa: PLC0415  # likewise

    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise OnnxError("cannot be read: it is not a protobuf of ONNX") from error
    _check_model(model)
    graph = model.graph
    if len(graph.node) > most_nodes:
        raise OnnxError(f"has {len(graph.node)} nodes, at most {most_nodes} are allowed")
    for message in _parts(model):
        _refuse_unknown(message)
    for node in graph.node:
        _check_node(node)
        for attribute in node.attribute:
            _check_attribute(node, attribute)
    for tensor in _tensors(model):
        _check_tensor(tensor)
    for value in (*graph.input, *graph.output):
        _check_value(value, most_elements)
    return model


def _check_model(model: "ModelProto") -> None:
    domains = {opset.domain for opset in model.opset_import}
    for domain in sorted(domains - _DOMAINS):
        raise OnnxError(f"uses operators of {_shown(domain)}; only ONNX's own are accepted")
    if not domains:
        raise OnnxError("names no version of ONNX's operators")
    if model.functions:
        raise OnnxError(f"defines {len(model.functions)} functions, which are not accepted")
    if model.training_info:
        raise OnnxError("has instructions for training, which are not accepted")
    if model.graph.sparse_initializer:
        raise OnnxError("has sparse weights, which are not accepted")
    if not model.graph.output:
        raise OnnxError("has no output")


def _parts(model: "ModelProto") -> "Iterator[Message]":
    graph = model.graph
    yield from (model, graph, *model.opset_import, *graph.node)
    yield from (attribute for node in graph.node for attribute in node.attribute)
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield from (value, value.type)


def _refuse_unknown(message: "Message") -> None:
    """Refuse fields of a newer ONNX: ONNX Runtime might know what this check does not."""
    from google.protobuf.unknown_fields import UnknownFieldSet  # noqa: PLC0415  # as above

    if unknown := [field.field_number for field in UnknownFieldSet(message)]:
        name = message.DESCRIPTOR.name
        raise OnnxError(f"has the unknown field {unknown[0]} in a {name}: it may be too new")


def _check_node(node: "NodeProto") -> None:
    if node.domain not in _DOMAINS:
        raise OnnxError(
            f"calls {_shown(node.op_type)} of {_shown(node.domain)}; only ONNX's own operators "
            "are accepted"
        )
    if node.overload:
        raise OnnxError(f"calls an overload of {_shown(node.op_type)}, which is not accepted")


def _check_attribute(node: "NodeProto", attribute: "AttributeProto") -> None:
    filled = {field.name for field, _ in attribute.ListFields()}
    if filled.intersection(_GRAPHS):
        raise OnnxError(
            f"has a branch or a loop: {_shown(node.op_type)} (attribute {_shown(attribute.name)}), "
            "which is not accepted"
        )
    if filled.intersection(_NESTED):
        raise OnnxError(
            f"has a sparse tensor or a type inside {_shown(node.op_type)} "
            f"(attribute {_shown(attribute.name)}), which is not accepted"
        )
    if attribute.ref_attr_name:
        raise OnnxError(f"refers to the attribute {_shown(attribute.ref_attr_name)} of a function")


def _tensors(model: "ModelProto") -> "Iterator[TensorProto]":
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _check_tensor(tensor: "TensorProto") -> None:
    from onnx import TensorProto  # noqa: PLC0415  # as above

    name = _shown(tensor.name)
    _refuse_unknown(tensor)
    if tensor.external_data or tensor.data_location != TensorProto.DEFAULT:
        raise OnnxError(
            f"keeps the tensor {name} in another file: send a zip with both, or store all "
            'data in one file: onnx.save(onnx.load("model.onnx"), "one.onnx"), or '
            "torch.onnx.export(…, external_data=False)"
        )
    if tensor.HasField("segment"):
        raise OnnxError(f"stores the tensor {name} in segments, which is not accepted")
    kind = TensorProto.DataType.Name(tensor.data_type) if _is_known(tensor.data_type) else ""
    if kind != "STRING" and kind not in _BITS:
        raise OnnxError(f"has the tensor {name} of the unknown type {tensor.data_type}")
    # An empty tensor may be huge in its other dimensions, which numpy refuses.
    is_huge = prod(max(1, size) for size in tensor.dims) > _MOST_PLACES
    if len(tensor.dims) > _MOST_RANK or is_huge or any(size < 0 for size in tensor.dims):
        raise OnnxError(f"has the tensor {name} of the impossible shape {_shape(tensor.dims)}")
    _check_size(tensor, kind, prod(tensor.dims))


def _is_known(data_type: int) -> bool:
    from onnx import TensorProto  # noqa: PLC0415  # as above

    return data_type in TensorProto.DataType.values()


def _check_size(tensor: "TensorProto", kind: str, num_elements: int) -> None:
    """Compare the size that a tensor states with the data it has, in the one field of its type."""
    filled = {field.name for field, _ in tensor.ListFields()} & (_ALL_FIELDS | {"raw_data"})
    own = _FIELDS.get(kind, "int32_data")
    if tensor.HasField("raw_data") and kind != "STRING":
        found, wanted = len(tensor.raw_data), -(-num_elements * _BITS[kind] // _BYTE)
        allowed, unit = {"raw_data"}, "bytes"
    else:
        found, unit, allowed = len(getattr(tensor, own)), "values", {own}
        wanted = num_elements * _VALUES_AN_ELEMENT.get(kind, 1)
        if kind in _BITS and _BITS[kind] < _BYTE:  # several in each value
            wanted = -(-num_elements * _BITS[kind] // _BYTE)
    if filled - allowed or found != wanted:
        raise OnnxError(
            f"has the tensor {_shown(tensor.name)} of shape {_shape(tensor.dims)}, which needs "
            f"{wanted} {unit} of {kind.lower()}; it has {found}"
        )


def _check_value(value: "ValueInfoProto", most_elements: int) -> None:
    name = _shown(value.name)
    if value.type.WhichOneof("value") != "tensor_type":
        raise OnnxError(f"has the input or output {name}, which is not a tensor")
    sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim if dim.dim_value > 0]
    if prod(sizes) > most_elements:
        raise OnnxError(
            f"has the input or output {name} with the sizes {_shape(sizes)}; at most "
            f"{most_elements} elements are allowed"
        )


def _shape(sizes: Iterable[Any]) -> str:
    return str(list(sizes)[:_MOST_RANK])[:_SHOWN_CHARACTERS]


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARACTERS])
