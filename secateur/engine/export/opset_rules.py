"""Rules that express an ONNX operator at an older opset; `opsets` applies them.

A rule takes a node and what is known about the graph, and returns nodes with the same outputs, or
None if the older operators cannot compute them. Its own nodes must exist at `OLDEST_OPSET`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import DTypeLike
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

_LAST_AXIS, _AXES_ARE_INPUTS, _SUM_AXES_ARE_INPUTS = 13, 18, 13


@dataclass
class Rewriting:
    """What rules know about a graph, and what they add to it.

    Attributes:
        opset: The older opset.
        constants: Stored values by name.
        ranks: Number of dimensions by name, where known.
        types: Type by name, as in schemas, where known.
        taken: Names in use.
        added: Tensors that rules stored.
    """

    opset: int
    constants: dict[str, TensorProto]
    ranks: dict[str, int]
    types: dict[str, str]
    taken: set[str]
    added: list[TensorProto] = field(default_factory=list)

    @classmethod
    def of(cls, model: ModelProto, opset: int) -> "Rewriting":
        """Return what is known about a model."""
        graph = onnx.shape_inference.infer_shapes(model).graph
        constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                constants[node.output[0]] = node.attribute[0].t
        ranks = {name: len(tensor.dims) for name, tensor in constants.items()}
        types = {name: _type_name(tensor.data_type) for name, tensor in constants.items()}
        for value in (*graph.input, *graph.value_info, *graph.output):
            kind = value.type.tensor_type
            if kind.HasField("shape"):
                ranks[value.name] = len(kind.shape.dim)
            if kind.elem_type:
                types[value.name] = _type_name(kind.elem_type)
        taken = {name for node in graph.node for name in (*node.input, *node.output)}
        return cls(opset, constants, ranks, types, taken | ranks.keys() | types.keys())

    def name(self, like: str) -> str:
        """Return an unused name."""
        number = 1
        while f"{like}_{number}" in self.taken:
            number += 1
        self.taken.add(f"{like}_{number}")
        return f"{like}_{number}"

    def store(self, like: str, values: object, dtype: DTypeLike = np.int64) -> str:
        """Store a tensor and return its name."""
        name = self.name(like)
        self.added.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def integers(self, name: str) -> list[int] | None:
        """Return a stored tensor of integers; None if the graph computes it."""
        found = self.constants.get(name)
        return None if found is None else [int(v) for v in numpy_helper.to_array(found).ravel()]


Rule = Callable[[NodeProto, Rewriting], list[NodeProto] | None]


def _type_name(number: int) -> str:
    return f"tensor({helper.tensor_dtype_to_string(number).removeprefix('TensorProto.').lower()})"


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _like(node: NodeProto, inputs: Sequence[str], attributes: Mapping[str, Any]) -> NodeProto:
    """Return a node of the same operator and outputs."""
    return helper.make_node(node.op_type, inputs, node.output, node.name, **attributes)


def _input(node: NodeProto, index: int) -> str:
    """Return the name of an input; empty if it is left out."""
    return node.input[index] if len(node.input) > index else ""


def _axes(first: int) -> Rule:
    """Return the rule of an operator whose axes are an attribute before opset ``first``."""

    def rule(node: NodeProto, rewriting: Rewriting) -> list[NodeProto] | None:
        attributes = _attributes(node)
        if rewriting.opset >= first:
            return [node]
        is_idle = attributes.pop("noop_with_empty_axes", 0)
        given = _input(node, 1)
        axes = rewriting.integers(given) if given else []
        if axes is None:
            return None
        if axes:
            attributes["axes"] = axes
        elif is_idle:
            return [helper.make_node("Identity", node.input[:1], node.output, node.name)]
        return [_like(node, node.input[:1], attributes)]

    return rule


def _split(node: NodeProto, rewriting: Rewriting) -> list[NodeProto] | None:
    attributes, sizes = _attributes(node), _input(node, 1)
    attributes.pop("num_outputs", None)  # without sizes, older versions split evenly
    if not sizes or rewriting.opset >= _SUM_AXES_ARE_INPUTS:
        return [_like(node, node.input, attributes)]
    found = rewriting.integers(sizes)
    return None if found is None else [_like(node, node.input[:1], attributes | {"split": found})]


def _pad(node: NodeProto, rewriting: Rewriting) -> list[NodeProto] | None:
    attributes, axes = _attributes(node), _input(node, 3)
    if attributes.get("mode") == b"wrap":
        return None
    if not axes:
        return [_like(node, node.input[:3], attributes)]
    places, pads = rewriting.integers(axes), rewriting.integers(node.input[1])
    rank = rewriting.ranks.get(node.input[0])
    if places is None or pads is None or rank is None:
        return None
    whole = [0] * (2 * rank)
    for index, axis in enumerate(places):
        whole[axis % rank] = pads[index]
        whole[rank + axis % rank] = pads[len(places) + index]
    inputs = [node.input[0], rewriting.store("pads", whole), *node.input[2:3]]
    return [_like(node, inputs, attributes)]


def _softmax(node: NodeProto, rewriting: Rewriting) -> list[NodeProto] | None:
    """Before opset 13, softmax ran over all dimensions from the axis on."""
    if rewriting.opset >= _LAST_AXIS:
        return [node]
    axis, rank = int(_attributes(node).get("axis", -1)), rewriting.ranks.get(node.input[0])
    if axis == -1:
        return [_like(node, node.input, {"axis": -1})]
    if rank is None:
        return None
    last = rank - 1
    if axis % rank == last:
        return [_like(node, node.input, {"axis": -1})]
    order = list(range(rank))
    order[axis % rank], order[last] = last, axis % rank
    turned, scaled = rewriting.name("turned"), rewriting.name("scaled")
    return [
        helper.make_node("Transpose", node.input, [turned], perm=order),
        helper.make_node(node.op_type, [turned], [scaled], axis=-1),
        helper.make_node("Transpose", [scaled], node.output, perm=order),
    ]


def _hard_swish(node: NodeProto, rewriting: Rewriting) -> list[NodeProto]:
    gate = rewriting.name("gate")
    return [
        helper.make_node("HardSigmoid", node.input, [gate], alpha=1 / 6, beta=0.5),
        helper.make_node("Mul", [node.input[0], gate], node.output),
    ]


def _mish(node: NodeProto, rewriting: Rewriting) -> list[NodeProto]:
    soft, gate = rewriting.name("soft"), rewriting.name("gate")
    return [
        helper.make_node("Softplus", node.input, [soft]),
        helper.make_node("Tanh", [soft], [gate]),
        helper.make_node("Mul", [node.input[0], gate], node.output),
    ]


def _layer_norm(node: NodeProto, rewriting: Rewriting) -> list[NodeProto] | None:
    attributes, rank = _attributes(node), rewriting.ranks.get(node.input[0])
    axis = int(attributes.get("axis", -1))
    is_double = rewriting.types.get(node.input[0]) == "tensor(double)"
    if len([name for name in node.output if name]) > 1 or (axis >= 0 and rank is None):
        return None
    axes = list(range(axis if axis < 0 else axis - (rank or 0), 0))
    names = ("mean", "centred", "square", "variance", "shifted", "spread", "unit", "scaled")
    mean, centred, square, variance, shifted, spread, unit, scaled = map(rewriting.name, names)
    dtype = np.float64 if is_double else np.float32
    epsilon = rewriting.store("epsilon", attributes.get("epsilon", 1e-5), dtype)
    bias = _input(node, 2)
    return [
        helper.make_node("ReduceMean", node.input[:1], [mean], axes=axes, keepdims=1),
        helper.make_node("Sub", [node.input[0], mean], [centred]),
        helper.make_node("Mul", [centred, centred], [square]),
        helper.make_node("ReduceMean", [square], [variance], axes=axes, keepdims=1),
        helper.make_node("Add", [variance, epsilon], [shifted]),
        helper.make_node("Sqrt", [shifted], [spread]),
        helper.make_node("Div", [centred, spread], [unit]),
        helper.make_node("Mul", [unit, node.input[1]], [scaled if bias else node.output[0]]),
        *([helper.make_node("Add", [scaled, bias], node.output[:1])] if bias else []),
    ]


def _negated(inverse: str) -> Rule:
    """Return the rule of a comparison that is the negation of another."""

    def rule(node: NodeProto, rewriting: Rewriting) -> list[NodeProto]:
        found = rewriting.name("compared")
        return [
            helper.make_node(inverse, node.input, [found]),
            helper.make_node("Not", [found], node.output),
        ]

    return rule


def _or_equal(inverse: str) -> Rule:
    negated = _negated(inverse)
    return lambda node, rewriting: [node] if rewriting.opset >= 12 else negated(node, rewriting)  # noqa: PLR2004  # the operator's first opset


def _shape(node: NodeProto, rewriting: Rewriting) -> list[NodeProto]:
    attributes = _attributes(node)
    if not attributes:
        return [node]
    start, end = attributes.get("start", 0), attributes.get("end", np.iinfo(np.int64).max)
    whole = rewriting.name("shape")
    bounds = [rewriting.store("start", [start]), rewriting.store("end", [end])]
    return [
        helper.make_node("Shape", node.input, [whole]),
        helper.make_node("Slice", [whole, *bounds], node.output),
    ]


_NUMBERS = {"value_int": np.int64, "value_ints": np.int64}
_NUMBERS |= {"value_float": np.float32, "value_floats": np.float32}  # type: ignore[dict-item]


def _constant(node: NodeProto, _: Rewriting) -> list[NodeProto] | None:
    ((name, value),) = _attributes(node).items()
    if name not in _NUMBERS:
        return [node] if name == "value" else None
    tensor = numpy_helper.from_array(np.asarray(value, _NUMBERS[name]))
    return [_like(node, [], {"value": tensor})]


def _reshape(node: NodeProto, rewriting: Rewriting) -> list[NodeProto] | None:
    """Before opset 14, a size of 0 could only copy the input's."""
    if _attributes(node).get("allowzero", 0) and rewriting.opset < 14:  # noqa: PLR2004
        sizes = rewriting.integers(node.input[1])
        if sizes is None or 0 in sizes:
            return None
    return [_like(node, node.input, {})] if rewriting.opset < 14 else [node]  # noqa: PLR2004


_RESIZE_DEFAULTS = {"antialias": 0, "keep_aspect_ratio_policy": b"stretch"}


def _resize(node: NodeProto, rewriting: Rewriting) -> list[NodeProto] | None:
    attributes = _attributes(node)
    if rewriting.opset < _AXES_ARE_INPUTS:
        for name, default in _RESIZE_DEFAULTS.items():
            if attributes.pop(name, default) != default:
                return None
        if "axes" in attributes:
            return None
    inputs = [_input(node, index) for index in range(4)]
    if rewriting.opset < _LAST_AXIS:  # empty tensors stand for inputs that are left out
        for index in (1, 2):
            inputs[index] = inputs[index] or rewriting.store("empty", [], np.float32)
    while not inputs[-1]:
        inputs.pop()
    return [_like(node, inputs, attributes)]


_REDUCTIONS = "Max Min Mean Prod L1 L2 LogSum LogSumExp SumSquare".split()

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **{f"Reduce{name}": _axes(_AXES_ARE_INPUTS) for name in _REDUCTIONS},
        **{name: _axes(_SUM_AXES_ARE_INPUTS) for name in ("ReduceSum", "Squeeze", "Unsqueeze")},
        "Constant": _constant,
        "GreaterOrEqual": _or_equal("Less"),
        "HardSwish": _hard_swish,
        "LayerNormalization": _layer_norm,
        "LessOrEqual": _or_equal("Greater"),
        "LogSoftmax": _softmax,
        "Mish": _mish,
        "Pad": _pad,
        "Reshape": _reshape,
        "Resize": _resize,
        "Shape": _shape,
        "Softmax": _softmax,
        "Split": _split,
    }
)
