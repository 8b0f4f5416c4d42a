"""Make a program from a live ``ExportedProgram``: the trusted, in-process road.

Used for models we build ourselves (an architecture name plus safetensors, tests, benchmarks).
Uploads never come this way: `reader` parses them without torch's loader.
"""

import re
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from worker.engine.errors import UnsupportedOpError
from worker.engine.program.functional import make_functional, op_name
from worker.engine.program.program import InputSpec, Program, Role
from worker.engine.program.vocabulary import ASSERTIONS

_ROLES = {
    InputKind.PARAMETER: Role.PARAMETER,
    InputKind.BUFFER: Role.BUFFER,
    InputKind.CONSTANT_TENSOR: Role.CONSTANT,
}
_SOURCE_LINE = re.compile(r'File "([^"]+)", line (\d+), in ([^\n]+)')


def from_exported(exported: ExportedProgram) -> Program:
    """Return the program of an inference-mode, training-IR ``ExportedProgram``.

    Raises:
        UnsupportedOpError: A part of the graph is a submodule, or writes in place into a view.
    """
    graph = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
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
        elif node.op == "get_attr":
            raise UnsupportedOpError(
                "the model runs a part of itself under autocast or another context; "
                "export it without"
            )
        elif op_name(node.target) in ASSERTIONS:
            continue
        else:
            values[node] = graph.node_copy(node, values.__getitem__)
            values[node].meta = {"source": source_line(node.meta.get("stack_trace") or "")}
    make_functional(graph)
    out_spec = exported.call_spec.out_spec
    if out_spec is None:
        raise ValueError("the exported program has no output structure")
    return Program(graph, tensors, roles, tuple(inputs), out_spec)


def export(model: torch.nn.Module, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    """Export ``model`` in eval mode with a dynamic batch on dimension 0 of every input."""
    batch = torch.export.Dim("batch", min=1)
    dynamic = tuple({0: batch} for _ in inputs)
    return torch.export.export(model.eval(), inputs, dynamic_shapes=dynamic)


def source_line(stack_trace: str) -> str:
    """Return ``file:line in function`` of the innermost frame that is not torch's own."""
    frames = [m.groups() for m in _SOURCE_LINE.finditer(stack_trace)]
    theirs = [f for f in frames if "/torch/" not in f[0] and not f[0].startswith("torch/")]
    chosen = (theirs or frames)[-1:]
    return "".join(f"{file}:{line} in {function}" for file, line, function in chosen)


def _input_spec(node: fx.Node) -> InputSpec:
    value = node.meta["val"]
    shape = tuple(None if isinstance(s, torch.SymInt) else int(s) for s in value.shape)
    return InputSpec(node.name, shape, value.dtype)
