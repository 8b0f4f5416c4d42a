"""The user's names and types in an exported ONNX graph."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx
import torch
from onnx import AttributeProto, GraphProto, TensorProto, helper
from onnx.external_data_helper import uses_external_data
from torch import fx

from secateur.engine.errors import ExportError
from secateur.engine.program.program import Program

_NUMBERS = {
    torch.float16: TensorProto.FLOAT16,
    torch.bfloat16: TensorProto.BFLOAT16,
    torch.float64: TensorProto.DOUBLE,
}
NEUTRAL = "secateur."  # prefix of the names passed to the exporter; no weight has it


def with_neutral_weights(program: Program) -> tuple[Program, dict[str, str]]:
    """Return the program with weights of other names, and the own name of each.

    The exporter and its optimiser call new values ``val_1`` or ``conv2d`` without looking whether a
    weight has that name, as the weights of files that an exporter wrote often do.
    """
    own = {f"{NEUTRAL}weight_{number}": name for number, name in enumerate(program.tensors)}
    neutral = {name: given for given, name in own.items()}
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.graph, {}))
    for node in graph.nodes:
        if node.op == "get_attr":
            node.target = neutral[str(node.target)]
    renamed = replace(
        program,
        graph=graph,
        tensors={neutral[name]: tensor for name, tensor in program.tensors.items()},
        roles={neutral[name]: role for name, role in program.roles.items()},
        own_types={neutral[name]: dtype for name, dtype in program.own_types.items()},
    )
    return renamed, own


def give_names(
    graph: GraphProto,
    inputs: Sequence[str],
    outputs: Sequence[str],
    weights: Mapping[str, str] | None = None,
) -> None:
    """Name a graph's inputs, outputs and weights, and rename inner values that clash with them.

    An output that is also an input, a weight or another output is copied by an Identity node. A
    weight with the name of an input or output gets a number.
    """
    stored = {tensor.name for tensor in graph.initializer}
    weights = {given: own for given, own in (weights or {}).items() if given in stored}
    wanted = {*inputs, *outputs}
    inner = _names(graph)
    taken = inner | wanted | set(weights.values())
    renamed = {name: _free(name, taken) for name in sorted(inner & {*wanted, *weights.values()})}
    renamed |= {
        given: _free(own, taken) if own in wanted else own for given, own in weights.items()
    }
    given = dict(zip((value.name for value in graph.input), inputs, strict=True))
    made = {name for node in graph.node for name in node.output}
    for value, name in zip(graph.output, outputs, strict=True):
        if value.name in made and value.name not in given:
            given[value.name] = name
        else:
            source = given.get(value.name) or renamed.get(value.name, value.name)
            graph.node.append(helper.make_node("Identity", [source], [name]))
            value.name = name
    _rename(graph, {**renamed, **given})


def give_types(graph: GraphProto, program: Program, outputs: Mapping[int, torch.dtype]) -> None:
    """Store weights, accept inputs and return outputs in the user's types; compute in float32.

    Args:
        graph: The exported graph; edited in place.
        program: The exported program.
        outputs: Types of the outputs to cast, by position.

    Raises:
        ExportError: The exporter stored a weight outside the file.
    """
    taken = _names(graph)
    widened: dict[str, torch.dtype] = {}
    for tensor in graph.initializer:
        dtype = program.own_types.get(tensor.name)
        if dtype is not None and tensor.data_type == TensorProto.FLOAT:
            _store_as(tensor, dtype)
            widened[tensor.name] = dtype
    for value, spec in zip(graph.input, program.inputs, strict=True):
        if spec.own_dtype is not None:
            value.type.tensor_type.elem_type = _NUMBERS[spec.own_dtype]
            widened[value.name] = spec.own_dtype
    wide = {name: _free(f"{name}_float32", taken) for name in widened}
    _rename(graph, wide, is_read_only=True)
    kept = [value for value in graph.value_info if value.name not in widened]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    nodes = [_cast(name, wide[name], TensorProto.FLOAT) for name in widened] + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    for index, dtype in outputs.items():
        value = graph.output[index]
        own = _free(f"{value.name}_own", taken)
        graph.node.append(_cast(wide.get(value.name, value.name), own, _NUMBERS[dtype]))
        value.name = own
        value.type.tensor_type.elem_type = _NUMBERS[dtype]


def _store_as(tensor: TensorProto, dtype: torch.dtype) -> None:
    if uses_external_data(tensor):
        raise ExportError(f"the exporter put {tensor.name!r} outside of the file")
    name = tensor.name
    values = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()).to(dtype)
    dims = list(tensor.dims)
    tensor.Clear()
    tensor.name, tensor.data_type = name, _NUMBERS[dtype]
    tensor.dims.extend(dims)
    tensor.raw_data = values.contiguous().view(torch.uint8).numpy().tobytes()


def _cast(source: str, target: str, number: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], to=number)


def _free(name: str, taken: set[str]) -> str:
    """Return an unused name based on ``name``, and add it to ``taken``."""
    number = 1
    while f"{name}__{number}" in taken:
        number += 1
    taken.add(f"{name}__{number}")
    return f"{name}__{number}"


def _names(graph: GraphProto) -> set[str]:
    found = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    for each in _graphs(graph):
        for node in each.node:
            found |= {*node.input, *node.output}
        found |= {value.name for value in (*each.input, *each.output, *each.initializer)}
    return found - {""}


def _graphs(graph: GraphProto) -> list[GraphProto]:
    """Return a graph and the subgraphs of its branches and loops."""
    found = [graph]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                found += _graphs(attribute.g)
    return found


def _rename(graph: GraphProto, names: dict[str, str], *, is_read_only: bool = False) -> None:
    """Rename values everywhere, or only where nodes read them."""
    for each in _graphs(graph):
        for node in each.node:
            node.input[:] = [names.get(name, name) for name in node.input]
        if is_read_only:
            continue
        for node in each.node:
            node.output[:] = [names.get(name, name) for name in node.output]
        for value in (*each.input, *each.output, *each.initializer, *each.value_info):
            value.name = names.get(value.name, value.name)
