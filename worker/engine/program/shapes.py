"""Shapes without memory: run a program on meta tensors and keep every value.

Called by the reader (does the graph type-check?), the dependency analysis, the MAC counter and
compaction (are the outputs' shapes unchanged?).
"""

from typing import Any

import torch
from torch import fx

from worker.engine.errors import ModelRejectedError
from worker.engine.program.known_shapes import known_shape
from worker.engine.program.module import resolve
from worker.engine.program.program import Program

Shapes = dict[fx.Node, Any]


def propagate(program: Program, batch_size: int = 2) -> Shapes:
    """Return a meta tensor, a number or a list of them for every node.

    Raises:
        ModelRejectedError: An operator refuses its arguments; node and source line are named.
    """
    values: Shapes = {}
    inputs = iter(program.inputs)
    for node in program.graph.nodes:
        if node.op == "placeholder":
            spec = next(inputs)
            shape = [batch_size if size is None else size for size in spec.shape]
            values[node] = torch.empty(shape, dtype=spec.dtype, device="meta")
        elif node.op == "get_attr":
            tensor = program.tensors[str(node.target)]
            values[node] = torch.empty_like(tensor, device="meta", requires_grad=False)
        elif node.op == "output":
            values[node] = resolve(node.args[0], values)
        else:
            values[node] = _call(node, values)
    return values


def where(node: fx.Node) -> str:
    """Say which operator a node calls and which line of the user's model asked for it."""
    source = node.meta.get("source")
    return f"{node.target} ({source})" if source else str(node.target)


def _on_meta(value: Any) -> Any:  # noqa: ANN401  # any literal
    return torch.device("meta") if isinstance(value, torch.device) else value


def _call(node: fx.Node, values: Shapes) -> Any:  # noqa: ANN401  # whatever the operator returns
    args = [_on_meta(value) for value in resolve(node.args, values)]
    kwargs = {name: _on_meta(resolve(v, values)) for name, v in node.kwargs.items()}
    known = known_shape(node.target, args, kwargs)
    if known is not None:
        return known
    try:
        with torch.no_grad():
            value = node.target(*args, **kwargs)  # type: ignore[operator]
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise ModelRejectedError(
            f"{where(node)} does not accept its arguments: {reason}"
        ) from error
    return value
