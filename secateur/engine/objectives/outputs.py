"""What a network's outputs are: scores, probabilities, or numbers, found in its graph.

A network may end in a softmax or leave that to its user; objectives, metrics and serving must know.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from secateur.engine.objectives.labels import LabelKind
from secateur.engine.program.functional import op_name
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import propagate

Activation = Literal["none", "softmax", "log_softmax", "sigmoid"]
OutputKind = Literal[
    "logits",
    "probabilities",
    "log_probabilities",
    "label_logits",
    "label_probabilities",
    "binary_logit",
    "binary_probability",
    "other",
]

_SOFTMAX = frozenset({"softmax", "_softmax"})
_LOG_SOFTMAX = frozenset({"log_softmax", "_log_softmax"})
_SIGMOID = frozenset({"sigmoid", "hardsigmoid"})
# Operators that keep a value what it is, and give it another shape, type or place at most.
_SAME = frozenset(
    "view reshape _unsafe_view flatten unflatten squeeze unsqueeze permute transpose t contiguous "
    "clone detach alias to _to_copy type_as lift_fresh_copy copy dropout clamp clamp_min clamp_max "
    "nan_to_num select slice view_as reshape_as movedim swapaxes expand expand_as".split()
)
# What follows the last layer of a classifier, if not an activation of its own.
_ENDINGS_OF_NUMBERS = frozenset(
    "relu relu6 hardtanh tanh softplus silu gelu elu leaky_relu exp expm1 abs square sqrt norm "
    "linalg_vector_norm atan hardswish mish softsign log1p floor ceil round trunc".split()
)
_ENDED: Mapping[Activation, OutputKind] = {
    "softmax": "probabilities",
    "log_softmax": "log_probabilities",
    "sigmoid": "label_probabilities",
}
_LOGITS_RANK = 2
_TINY = 1e-12
_NUM_TRIED = 4
_CLOSE = 1e-3
_known: "WeakKeyDictionary[Program, dict[int, Activation]]" = WeakKeyDictionary()


def activation(program: Program, index: int = 0) -> Activation:
    """Return the activation that ends output ``index``.

    It is looked for behind what only changes shapes. Where the graph does not show it (an average
    of two softmaxes), what the network computes does: rows that sum up to one.
    """
    known = _known.setdefault(program, {})
    if index not in known:
        known[index] = _find_activation(program, index)
    return known[index]


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


def output_kinds(program: Program, labels: LabelKind | None = None) -> tuple[OutputKind, ...]:
    """Return what each output is to who reads it.

    Args:
        program: The network.
        labels: What the network was trained for, where that is known: the first output of floating
            point is what its labels say.
    """
    outputs = _flat_outputs(program)
    shapes = propagate(program, 2)
    floats = [
        index
        for index, value in enumerate(outputs)
        if isinstance(value, fx.Node) and _is_float(shapes[value])
    ]
    kinds: list[OutputKind] = ["other"] * len(outputs)
    for index in floats:
        shape = tuple(shapes[outputs[index]].shape)  # type: ignore[index]
        told = labels if index == floats[0] else None
        kinds[index] = _kind(program, index, shape, told, is_only=len(outputs) == 1)
    return tuple(kinds)


def log_probabilities(output: Tensor, kind: Activation, temperature: float = 1.0) -> Tensor:
    """Return the log-probabilities (N, C) that an output stands for, softened by a temperature."""
    if kind == "softmax":
        output = output.clamp_min(_TINY).log()
    return F.log_softmax(output / temperature, dim=1)


def _kind(
    program: Program, index: int, shape: tuple[int, ...], labels: LabelKind | None, *, is_only: bool
) -> OutputKind:
    if labels == "numbers":
        return "other"
    ending = activation(program, index)
    if math.prod(shape[1:]) == 1:  # one number a sample
        is_scored = labels in {"classes", "binary", "multi_label"}
        raw: OutputKind = "binary_logit" if is_scored else "other"
        return "binary_probability" if ending == "sigmoid" else raw
    if len(shape) != _LOGITS_RANK:
        return "other"
    if ending == "none":
        return _raw_kind(program, index, labels, is_only=is_only)
    return _ENDED[ending]


def _raw_kind(
    program: Program, index: int, labels: LabelKind | None, *, is_only: bool
) -> OutputKind:
    """Return what an output (N, C) is that no activation ends."""
    if labels == "multi_label":
        return "label_logits"
    is_plain = is_only and not _ends_in_numbers(program, index)
    return "logits" if labels == "classes" or is_plain else "other"


def _find_activation(program: Program, index: int) -> Activation:
    output = _flat_outputs(program)[index]
    if not isinstance(output, fx.Node):
        return "none"
    shapes = propagate(program, 2)
    shape: tuple[int, ...] = tuple(getattr(shapes[output], "shape", ()))
    value, is_log = _last_computation(output), False
    if op_name(value.target) == "log":  # of a softmax, as log_softmax is
        value, is_log = _last_computation(value.args[0]), True  # type: ignore[arg-type]
    op = op_name(value.target) if value.op == "call_function" else ""
    if op in _SIGMOID and not is_log:
        return "sigmoid"
    if op in _SOFTMAX | _LOG_SOFTMAX and not (is_log and op in _LOG_SOFTMAX):
        found = shapes[value]
        dim = value.args[1] if len(value.args) > 1 else value.kwargs.get("dim", -1)
        is_whole = len(shape) >= _LOGITS_RANK and found.shape[dim] == shape[1]
        if is_log or op in _LOG_SOFTMAX:
            return "log_softmax" if is_whole else "none"
        return "softmax" if is_whole else "sigmoid"  # some of the classes: each by itself
    if not _is_scores(shapes[output]):
        return "none"
    return _tried(program)[index]


def _last_computation(value: fx.Node) -> fx.Node:
    """Return the value behind what only changes its shape, type or range."""
    while value.op == "call_function" and value.args and isinstance(value.args[0], fx.Node):
        if op_name(value.target) not in _SAME:
            break
        value = value.args[0]
    return value


def _ends_in_numbers(program: Program, index: int) -> bool:
    """Return whether an output ends in what no classifier does: a ReLU, a normalised vector."""
    output = _flat_outputs(program)[index]
    assert isinstance(output, fx.Node)  # noqa: S101  # who asks has looked
    value = _last_computation(output)
    if value.op != "call_function" or _is_limited(output):
        return True
    if op_name(value.target) == "div" and isinstance(value.args[1], fx.Node):
        value = _last_computation(value.args[1])  # by its norm, as F.normalize does
    return value.op == "call_function" and op_name(value.target) in _ENDINGS_OF_NUMBERS


def _is_limited(value: fx.Node) -> bool:
    """Return whether a value was clamped behind its last computation."""
    last = _last_computation(value)
    while value is not last:
        if op_name(value.target).startswith("clamp"):
            return True
        value = value.args[0]  # type: ignore[assignment]  # as `_last_computation` has walked
    return False


@torch.no_grad()
def _tried(program: Program) -> Mapping[int, Activation]:
    """Return what the rows of the outputs sum up to say, on a few random samples."""
    # The tensors may have been moved, or made float64, since the inputs were described.
    like = next(iter(program.parameters().values()), torch.zeros(()))
    inputs = tuple(x.to(like.device, like.dtype) for x in program.example_inputs(_NUM_TRIED))
    found: dict[int, Activation] = {}
    for index, value in enumerate(ProgramModule(program, copy=False).eval().run(inputs)):
        found[index] = "none"
        if not _is_scores(value):
            continue
        rows = value.double()
        if bool((rows >= 0).all()) and _sum_up_to_one(rows):
            found[index] = "softmax"
        elif bool((rows <= 0).all()) and _sum_up_to_one(rows.exp()):
            found[index] = "log_softmax"
    return MappingProxyType(found)


def _sum_up_to_one(rows: Tensor) -> bool:
    return bool(((rows.sum(1) - 1).abs() < _CLOSE).all())


def _is_float(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype.is_floating_point and value.ndim > 0


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
