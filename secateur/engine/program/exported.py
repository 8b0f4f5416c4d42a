"""Make a program from an ``ExportedProgram`` in memory, which is trusted.

Used for models built in this process: an architecture plus safetensors, tests, benchmarks. Uploads
are parsed by `reader` instead, without torch's loader.
"""

import re
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from secateur.engine.program.functional import make_functional, op_name
from secateur.engine.program.precision import to_float32
from secateur.engine.program.program import InputSpec, Program, Role
from secateur.engine.program.structure import CallSignature
from secateur.engine.program.vocabulary import ASSERTIONS

_ROLES = {
    InputKind.PARAMETER: Role.PARAMETER,
    InputKind.BUFFER: Role.BUFFER,
    InputKind.CONSTANT_TENSOR: Role.CONSTANT,
}
# Operators that run a subgraph under a setting, with the position of the subgraph among their
# arguments. The settings (gradients, autocast) are not part of a program.
CONTEXTS = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}
_SOURCE_LINE = re.compile(r'File "([^"]+)", line (\d+), in ([^\n]+)')


def from_module(model: torch.nn.Module, inputs: tuple[Tensor, ...]) -> Program:
    """Return the program of an ``nn.Module``, in evaluation mode and with a dynamic batch.

    Args:
        model: Module to export; it is put into evaluation mode.
        inputs: Example tensors (N, ...) with N >= 2, since the exporter treats 1 as a constant.

    Raises:
        torch._dynamo.exc.UserError: torch cannot export the module with a dynamic batch.
        UnsupportedOpError: A write in the graph has no functional form.
    """
    return from_exported(export(model, inputs))


def from_exported(exported: ExportedProgram) -> Program:
    """Return the program of an inference-mode, training-IR ``ExportedProgram``.

    Raises:
        UnsupportedOpError: A write in the graph has no functional form.
        ValueError: The exported program lacks its structure or the names of its arguments.
    """
    graph = fx.Graph()
    values: dict[fx.Node, Any] = {}
    inputs: list[InputSpec] = []
    tensors: dict[str, Tensor] = {}
    roles: dict[str, Role] = {}
    specs = {spec.arg.name: spec for spec in exported.graph_signature.input_specs}
    stored: dict[str, Any] = {**exported.state_dict, **exported.constants}
    for node in exported.graph.nodes:
        if node.op == "placeholder":
            spec = specs[node.name]
            if spec.kind is InputKind.USER_INPUT:
                values[node] = graph.create_node("placeholder", f"x{len(inputs)}")
                inputs.append(_input_spec(node))
                continue
            name = str(spec.target)
            tensors[name], roles[name] = stored[name].detach(), _ROLES[spec.kind]
            values[node] = graph.create_node("get_attr", name, name=f"t{len(tensors)}")
        elif node.op == "output":
            graph.output(tuple(fx.map_arg(node.args[0], values.__getitem__)))
        elif node.op == "call_function" and op_name(node.target) not in ASSERTIONS:
            _copy_call(graph, node, values, exported.graph_module)
    make_functional(graph, tensors, tuple(inputs))
    out_spec, in_spec = exported.call_spec.out_spec, exported.call_spec.in_spec
    if out_spec is None or in_spec is None:
        raise ValueError("the exported program has no structure")
    signature = exported.module_call_graph[0].signature
    if signature is None or signature.forward_arg_names is None:
        raise ValueError("the exported program does not name its arguments")
    names = signature.forward_arg_names
    call = CallSignature(tuple(names), in_spec)
    return to_float32(Program(graph, tensors, roles, tuple(inputs), out_spec, call))


def _copy_call(
    graph: fx.Graph, node: fx.Node, values: dict[fx.Node, Any], owner: fx.GraphModule
) -> None:
    """Copy a call; for an operator that runs subgraphs, copy their calls instead."""
    position = CONTEXTS.get(str(node.target))
    if position is not None:
        values[node] = _run(graph, node.args[position], node.args[position + 1 :], values, owner)
    elif str(node.target) == "cond":
        condition, *branches, given = node.args
        scalar = graph.call_function(torch.ops.aten.reshape.default, (values[condition], []))  # type: ignore[index]
        results = [_run(graph, branch, given, values, owner) for branch in branches]
        values[node] = tuple(
            graph.call_function(torch.ops.aten.where.self, (scalar, *pair))
            for pair in zip(*results, strict=True)
        )
    elif isinstance(values.get(node.args[0] if node.args else None), tuple):  # type: ignore[arg-type]
        values[node] = values[node.args[0]][node.args[1]]  # type: ignore[index]
    else:
        values[node] = graph.node_copy(node, values.__getitem__)
        values[node].meta = {"source": source_line(node.meta.get("stack_trace") or "")}


def _run(
    graph: fx.Graph,
    called: Any,  # noqa: ANN401  # the get_attr node of a subgraph
    given: Any,  # noqa: ANN401  # its arguments
    values: dict[fx.Node, Any],
    owner: fx.GraphModule,
) -> tuple[Any, ...]:
    """Copy the calls of a subgraph and return its results."""
    inner = owner.get_submodule(str(called.target))
    assert isinstance(inner, fx.GraphModule)  # noqa: S101  # as the exporter writes it
    arguments = iter(values[each] for each in given)
    results: tuple[Any, ...] = ()
    for each in inner.graph.nodes:
        if each.op == "placeholder":
            values[each] = next(arguments)
        elif each.op == "output":
            results = tuple(values[result] for result in each.args[0])
        elif each.op == "call_function" and op_name(each.target) not in ASSERTIONS:
            _copy_call(graph, each, values, inner)
    return results


def export(model: torch.nn.Module, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    """Export ``model`` in eval mode with a dynamic batch on dimension 0 of every input.

    Example inputs (N, ...) need N >= 2, since the exporter treats 1 as a constant.
    """
    batch = torch.export.Dim("batch", min=1)
    dynamic = tuple({0: batch} for _ in inputs)
    return torch.export.export(model.eval(), inputs, dynamic_shapes=dynamic)


def source_line(stack_trace: str) -> str:
    """Return ``file:line in function`` of the innermost frame outside torch."""
    frames = [m.groups() for m in _SOURCE_LINE.finditer(stack_trace)]
    user_frames = [f for f in frames if "/torch/" not in f[0] and not f[0].startswith("torch/")]
    chosen = (user_frames or frames)[-1:]
    return "".join(f"{file}:{line} in {function}" for file, line, function in chosen)


def _input_spec(node: fx.Node) -> InputSpec:
    value = node.meta["val"]
    shape = tuple(None if isinstance(s, torch.SymInt) else int(s) for s in value.shape)
    return InputSpec(node.name, shape, value.dtype)
