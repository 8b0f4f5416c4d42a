"""Floating-point types: programs compute in float32 and are stored in the types of the user's file.

Few CPUs support half precision, training in it loses small gradients, and the certificate needs
more digits. ONNX Runtime has no float64 convolution. So the readers convert a program to float32,
and the writers convert weights, inputs and outputs back to the user's types.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.program.program import Program, Role
from secateur.engine.program.shapes import propagate

_HALF = frozenset({torch.float16, torch.bfloat16})
_META = "own_types"  # node.meta key: the user's types by argument position or name

Literals = Mapping[int | str, torch.dtype]


def to_float32(program: Program) -> Program:
    """Return the program converted to compute in float32.

    If neither parameters nor inputs are float64, float64 constants and casts are left alone: they
    serve an operation that needs the precision, such as a long sum.

    Raises:
        ModelRejectedError: An operator refuses its arguments, such as mixed types.
    """
    others = _HALF | ({torch.float64} if _is_float64(program) else set())
    literals = {node: _literals(node, others) for node in program.graph.nodes}
    own = {name: t.dtype for name, t in program.tensors.items() if t.dtype in others}
    is_other_input = any(spec.dtype in others for spec in program.inputs)
    if not own and not is_other_input and not any(literals.values()):
        return program
    outputs = propagate(program)[program.graph.output_node()]

    def change(node: fx.Node, copied: fx.Node) -> None:
        if literals[node]:
            copied.meta[_META] = literals[node]
            _set(copied, dict.fromkeys(literals[node], torch.float32))

    return replace(
        program,
        graph=_rewritten(program.graph, change),
        tensors={n: t.float() if n in own else t for n, t in program.tensors.items()},
        inputs=tuple(
            replace(spec, dtype=torch.float32, own_dtype=spec.dtype)
            if spec.dtype in others
            else spec
            for spec in program.inputs
        ),
        own_types=own,
        own_output_types={
            index: value.dtype
            for index, value in enumerate(outputs)
            if isinstance(value, Tensor) and value.dtype in others
        },
    )


def to_own_types(program: Program) -> Program:
    """Return the program converted to compute in the types of the user's file."""

    def change(_node: fx.Node, copied: fx.Node) -> None:
        _set(copied, copied.meta.get(_META, {}))

    return replace(
        program,
        graph=_rewritten(program.graph, change),
        tensors=own_tensors(program),
        inputs=tuple(replace(s, dtype=s.given_dtype, own_dtype=None) for s in program.inputs),
        own_types={},
        own_output_types={},
    )


def own_tensors(program: Program) -> dict[str, Tensor]:
    """Return a program's tensors in the types of the user's file."""
    return {n: t.to(program.own_types.get(n, t.dtype)) for n, t in program.tensors.items()}


def as_stored(program: Program) -> Program:
    """Return the program with its weights rounded to the precision of the user's types."""
    if not program.own_types:
        return program
    own = own_tensors(program)
    return program.with_tensors({n: own[n].to(t.dtype) for n, t in program.tensors.items()})


def _is_float64(program: Program) -> bool:
    trained = [t for n, t in program.tensors.items() if program.roles[n] is Role.PARAMETER]
    dtypes = [*(t.dtype for t in trained), *(spec.dtype for spec in program.inputs)]
    return torch.float64 in dtypes


def _literals(node: fx.Node, others: frozenset[torch.dtype]) -> Literals:
    found: list[tuple[int | str, Any]] = [*enumerate(node.args), *node.kwargs.items()]
    return {place: v for place, v in found if isinstance(v, torch.dtype) and v in others}


def _set(node: fx.Node, literals: Literals) -> None:
    args, kwargs = list(node.args), dict(node.kwargs)
    for place, dtype in literals.items():
        if isinstance(place, int):
            args[place] = dtype
        else:
            kwargs[place] = dtype
    node.args, node.kwargs = tuple(args), kwargs


def _rewritten(graph: fx.Graph, change: Callable[[fx.Node, fx.Node], None]) -> fx.Graph:
    found = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        values[node] = found.node_copy(node, values.__getitem__)
        change(node, values[node])
    return found
