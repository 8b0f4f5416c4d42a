"""What a network's outputs are: raw scores, probabilities, or numbers, read off its graph.

A network may end in a softmax or leave that to its user; objectives and metrics must know.
"""

from typing import Literal, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from worker.engine.program.functional import op_name
from worker.engine.program.program import Program
from worker.engine.program.shapes import propagate

Activation = Literal["none", "softmax", "log_softmax", "sigmoid"]

_ACTIVATIONS: dict[str, Activation] = {
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "sigmoid": "sigmoid",
}
# Operators that only give values another shape.
_RESHAPES = frozenset(
    {"squeeze", "unsqueeze", "flatten", "view", "reshape", "_unsafe_view", "contiguous", "clone"}
    | {"unflatten", "alias", "detach", "permute", "transpose", "to", "_to_copy"}
)
_LOGITS_RANK = 2
_TINY = 1e-12


def activation(program: Program, index: int = 0) -> Activation:
    """Return the activation that ends output ``index``."""
    last = value = _flat_outputs(program)[index]
    while _calls(value) and op_name(value.target) in _RESHAPES:
        value = value.args[0]
    if not _calls(value):
        return "none"
    found = _ACTIVATIONS.get(op_name(value.target), "none")
    if found in {"none", "sigmoid"} or value is last:
        return found
    return found if _keeps_classes(program, value, last) else "none"


def score_outputs(program: Program) -> tuple[int, ...]:
    """Return which outputs are scores of classes, (N, C) with C at least 2.

    Those that end in a softmax; where none does, the only output, if it has that shape. Several
    plain outputs may be anything: boxes, embeddings, depth.
    """
    outputs = _flat_outputs(program)
    shapes = propagate(program, 2)
    shaped = [
        index
        for index, value in enumerate(outputs)
        if isinstance(value, fx.Node) and _is_scores(shapes[value])
    ]
    ended = [i for i in shaped if activation(program, i) in {"softmax", "log_softmax"}]
    if ended:
        return tuple(ended)
    return tuple(shaped) if len(outputs) == 1 else ()


def threshold(kind: Activation) -> float:
    """Return the score of a probability of one half: a logit is zero there."""
    return 0.5 if kind == "sigmoid" else 0.0


def log_probabilities(output: Tensor, kind: Activation, temperature: float = 1.0) -> Tensor:
    """Return the log-probabilities (N, C) that an output stands for, softened by a temperature."""
    if kind == "softmax":
        output = output.clamp_min(_TINY).log()
    return F.log_softmax(output / temperature, dim=1)


def _calls(value: object) -> TypeGuard[fx.Node]:
    return isinstance(value, fx.Node) and value.op == "call_function"


def _keeps_classes(program: Program, softmax: fx.Node, last: object) -> bool:
    """Return whether the classes of a softmax are the last output's, (N, C), reshaped or not."""
    shapes = propagate(program, 2)
    before, after = shapes[softmax], shapes[last] if isinstance(last, fx.Node) else None
    dim = softmax.args[1]
    return (
        _is_scores(after)
        and isinstance(after, Tensor)
        and isinstance(before, Tensor)
        and isinstance(dim, int)
        and before.numel() == after.numel()
        and before.shape[dim] == after.shape[1]
    )


def _is_scores(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.ndim == _LOGITS_RANK
        and value.shape[1] > 1
        and value.dtype.is_floating_point
    )


def _flat_outputs(program: Program) -> tuple[object, ...]:
    arguments = program.graph.output_node().args[0]
    assert isinstance(arguments, (tuple, list))  # noqa: S101  # a program's output is a flat tuple
    return tuple(arguments)


def float_outputs(outputs: list[object]) -> list[Tensor]:
    """Return the outputs that can be compared as numbers, in float32."""
    return [o.float() for o in outputs if isinstance(o, Tensor) and torch.is_floating_point(o)]
