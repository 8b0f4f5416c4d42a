"""Mutations of ``.onnx`` files: operators, attributes, names, shapes, values, files and bytes."""

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, helper, numpy_helper
from onnx.checker import ValidationError

from secateur.engine.onnx_in.operators.table import OPERATORS
from tests.attacks.mutations.parts import NUMBERS, Mutate, damaged
from tests.fixtures.onnx_graphs import drawn, network
from tests.integration.engine.onnx_in.test_operators import CASES, IMAGE

_MOST = 2**63 - 1
_TEXTS = ("", "SAME_UPPER", "reverse", "reflect", "linear", "../../x", "nchw->n", "x" * 1000)
_TYPES = (1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 14, 16, 17)


def onnx_graphs(_marker: Path) -> Mutate:
    """Return the mutations of ``.onnx`` files."""
    originals = [network(*nodes, **{"x": IMAGE, **more}) for nodes, more in CASES.values()]

    def mutate(rng: random.Random) -> tuple[str, bytes]:
        model = ModelProto()
        model.CopyFrom(rng.choice(originals))
        for _ in range(rng.choice([1, 1, 2, 3])):
            # What protobuf does not take, and what an edit before has removed.
            with suppress(IndexError, TypeError, ValueError, ValidationError):
                rng.choice(_EDITS)(rng, model)
        data = model.SerializeToString()
        return "onnx", damaged(rng, data) if rng.random() > 0.95 else data

    return mutate


def _number(rng: random.Random) -> int:
    return max(-_MOST, min(_MOST, rng.choice(NUMBERS)))


def _value(rng: random.Random) -> Any:
    values: tuple[Any, ...] = (
        _number(rng), [_number(rng) for _ in range(rng.randrange(1, 6))], rng.choice(_TEXTS),
        rng.choice([0.5, -1e30, float("nan"), float("inf")]), [0.1, 2.0],
        numpy_helper.from_array(drawn(2, 2)),
    )  # fmt: skip
    return rng.choice(values)


def _operator(rng: random.Random, model: ModelProto) -> None:
    rng.choice(model.graph.node).op_type = rng.choice([*OPERATORS, "If", "Constant", ""])


def _attribute(rng: random.Random, model: ModelProto) -> None:
    node = rng.choice(model.graph.node)
    known = [each.name for other in model.graph.node for each in other.attribute]
    name = rng.choice([*known, "axis", "axes", "pads", "strides", "mode", "to", "group", "perm"])
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if rng.random() < 0.8:
        node.attribute.append(helper.make_attribute(name, _value(rng)))


def _wiring(rng: random.Random, model: ModelProto) -> None:
    node = rng.choice(model.graph.node)
    names = ["", "x", *(name for other in model.graph.node for name in other.output)]
    names += [tensor.name for tensor in model.graph.initializer]
    choice = rng.randrange(4)
    if choice == 0:
        node.input.append(rng.choice(names))
    elif choice == 1:
        del node.input[rng.randrange(len(node.input)) :]
    elif choice == 2:
        node.output[rng.randrange(len(node.output))] = rng.choice(names)
    else:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)


def _tensor(rng: random.Random, model: ModelProto) -> None:
    tensor = rng.choice(model.graph.initializer)
    choice = rng.randrange(4)
    if choice == 0:
        tensor.data_type = rng.choice(_TYPES)
    elif choice == 1:
        tensor.dims.append(_number(rng))
    elif choice == 2:
        array = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(array.reshape(-1)[: rng.randrange(3)], tensor.name))
    else:
        sizes = np.array([_number(rng) for _ in range(rng.randrange(5))], np.int64)
        tensor.CopyFrom(numpy_helper.from_array(sizes, tensor.name))


def _input(rng: random.Random, model: ModelProto) -> None:
    shape = rng.choice([*model.graph.input, *model.graph.output]).type.tensor_type
    choice = rng.randrange(3)
    if choice == 0:
        shape.elem_type = rng.choice(_TYPES)
    elif choice == 1:
        rng.choice(shape.shape.dim).dim_value = _number(rng)
    else:
        del shape.shape.dim[rng.randrange(len(shape.shape.dim)) :]


def _nodes(rng: random.Random, model: ModelProto) -> None:
    nodes = list(model.graph.node)
    choice = rng.randrange(3)
    if choice == 0:
        nodes.pop(rng.randrange(len(nodes)))
    elif choice == 1:
        nodes.append(rng.choice(nodes))
    else:
        rng.shuffle(nodes)
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _versions(rng: random.Random, model: ModelProto) -> None:
    model.opset_import[0].version = rng.choice([1, 7, 9, 11, 13, 17, 20, 22, 25, _number(rng)])


def _batch(rng: random.Random, model: ModelProto) -> None:
    """Fix the batch, in inputs and perhaps in a list of sizes."""
    size = rng.choice([1, 2, 4, 7, _number(rng)])
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = size
    tensor = rng.choice(model.graph.initializer)
    array = numpy_helper.to_array(tensor).copy()
    if array.dtype == np.int64 and array.ndim == 1:
        array[0] = size
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _values(rng: random.Random, model: ModelProto) -> None:
    """Write a number that is not finite, or a position outside, into a tensor."""
    tensor = rng.choice(model.graph.initializer)
    array = numpy_helper.to_array(tensor).copy()
    number = rng.choice([np.nan, np.inf, -np.inf, 1e38]) if array.dtype.kind == "f" else None
    array.reshape(-1)[rng.randrange(array.size)] = _number(rng) if number is None else number
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _elsewhere(rng: random.Random, model: ModelProto) -> None:
    """Keep a tensor in another file, or more of it than there is."""
    tensor = rng.choice(model.graph.initializer)
    tensor.data_location = rng.choice([0, 1])
    place = rng.choice(["/etc/passwd", "../../secret", "model.onnx.data", "", "\0", "x" * 5000])
    tensor.external_data.add(key="location", value=place)
    tensor.external_data.add(key="offset", value=str(_number(rng)))


def _nested(rng: random.Random, model: ModelProto) -> None:
    """Add a function, a graph inside a node, a domain, or an output of the same name."""
    choice = rng.randrange(4)
    if choice == 0:
        model.functions.add(name=rng.choice([*OPERATORS]), domain="")
    elif choice == 1:
        node = rng.choice(model.graph.node)
        node.attribute.append(helper.make_attribute("body", model.graph))
    elif choice == 2:
        model.opset_import.add(
            domain=rng.choice(["", "ai.onnx", "ai.onnx.ml"]), version=_number(rng)
        )
    else:
        rng.choice([model.graph.input, model.graph.output]).append(rng.choice(model.graph.output))


def _positions(rng: random.Random, model: ModelProto) -> None:
    """Reorder the channels of what a node reads by a list of positions."""
    node = rng.choice(model.graph.node)
    size = rng.choice([3, 4, 5, 8])
    places = [rng.choice([*range(-size, size), _number(rng)]) for _ in range(size)]
    order = np.array(rng.choice([places, list(range(size))[::-1]]), np.int64)
    model.graph.initializer.append(numpy_helper.from_array(order, "order"))
    source = node.input[0]
    node.input[0] = "reordered"
    gather = helper.make_node(
        "Gather", [source, "order"], ["reordered"], axis=rng.choice([1, 1, -1])
    )
    model.graph.node.insert(list(model.graph.node).index(node), gather)


_EDITS: tuple[Callable[[random.Random, ModelProto], None], ...] = (
    _operator, _attribute, _attribute, _wiring, _tensor, _tensor, _input, _nodes, _versions,
    _batch, _values, _elsewhere, _nested, _positions, _positions,
)  # fmt: skip
