"""Kinds of a network's outputs (scores, probabilities or numbers), detected from its graph.

A network may or may not end in a softmax. Objectives, metrics and serving depend on which.
"""

import math
from collections.abc import Mapping, Sequence
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
# Operators that change at most the shape, type, range or position of a value.
_SAME = frozenset(
    "view reshape _unsafe_view flatten unflatten squeeze unsqueeze permute transpose t contiguous "
    "clone detach alias to _to_copy type_as lift_fresh_copy copy dropout clamp clamp_min clamp_max "
    "nan_to_num select slice view_as reshape_as movedim swapaxes expand expand_as".split()
)
_IDENTITIES = frozenset("clone detach alias contiguous dropout to _to_copy lift_fresh_copy".split())
_SATURATING = _SOFTMAX | {"sigmoid"}
# Operators that do not end a classifier: their outputs are plain numbers.
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

    Operators that only change the shape are skipped. If the graph does not show an activation (an
    average of two softmaxes), the network is run on random samples: rows that sum to one are
    probabilities.
    """
    known = _known.setdefault(program, {})
    if index not in known:
        known[index] = _find_activation(program, index)
    return known[index]


def before_endings(program: Program) -> tuple[object, ...]:
    """Return the flat outputs, without a last softmax or sigmoid where the graph shows one.

    An output stays as it is if something else than a change of type follows its activation.
    """
    return tuple(map(_before_ending, _flat_outputs(program)))


def _before_ending(output: object) -> object:
    value = output
    while isinstance(value, fx.Node) and value.op == "call_function" and value.args:
        name = op_name(value.target)
        if name in _SATURATING:
            return value.args[0]
        if name not in _IDENTITIES:
            break
        value = value.args[0]
    return output


def score_outputs(program: Program) -> tuple[int, ...]:
    """Return the indices of outputs that are class scores, (N, C) with C at least 2.

    These are the outputs that end in a softmax. If none does, a single output of that shape counts.
    Several plain outputs may be anything: boxes, embeddings, depth.
    """
    outputs = _flat_outputs(program)
    shapes = propagate(program)
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
    """Return the score at a probability of one half: 0.5 after a sigmoid, else a logit of 0."""
    return 0.5 if kind == "sigmoid" else 0.0


def output_kinds(program: Program, labels: LabelKind | None = None) -> tuple[OutputKind, ...]:
    """Return the kind of each output, as clients see it.

    Args:
        program: The network.
        labels: Kind of labels that the network was trained on, if known. It decides the kind of
            the first floating-point output.
    """
    outputs = _flat_outputs(program)
    shapes = propagate(program)
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
    """Return the log-probabilities of an output (N, C), softened by a temperature."""
    if kind == "softmax":
        output = output.clamp_min(_TINY).log()
    return F.log_softmax(output / temperature, dim=1)


def _kind(
    program: Program, index: int, shape: tuple[int, ...], labels: LabelKind | None, *, is_only: bool
) -> OutputKind:
    if labels in {"numbers", "identities"}:
        return "other"
    ending = activation(program, index)
    if math.prod(shape[1:]) == 1:  # one number per sample
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
    """Return the kind of an output (N, C) that does not end in an activation."""
    if labels == "multi_label":
        return "label_logits"
    is_plain = is_only and not _ends_in_numbers(program, index)
    return "logits" if labels == "classes" or is_plain else "other"


def _find_activation(program: Program, index: int) -> Activation:
    output = _flat_outputs(program)[index]
    if not isinstance(output, fx.Node):
        return "none"
    shapes = propagate(program)
    shape: tuple[int, ...] = tuple(getattr(shapes[output], "shape", ()))
    value, is_log = _last_computation(output), False
    if op_name(value.target) == "log":  # log(softmax(x)) is log_softmax(x)
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
        return (
            "softmax" if is_whole else "sigmoid"
        )  # a slice of the classes: each is a probability by itself
    if not _is_scores(shapes[output]):
        return "none"
    return _activations_by_sums(program)[index]


def _last_computation(value: fx.Node) -> fx.Node:
    """Return the value before operators that only change its shape, type or range."""
    while value.op == "call_function" and value.args and isinstance(value.args[0], fx.Node):
        if op_name(value.target) not in _SAME:
            break
        value = value.args[0]
    return value


def _ends_in_numbers(program: Program, index: int) -> bool:
    """Return whether an output ends as no classifier does: in a ReLU or a normalised vector."""
    output = _flat_outputs(program)[index]
    assert isinstance(output, fx.Node)  # noqa: S101  # the caller has checked
    value = _last_computation(output)
    if value.op != "call_function" or _is_limited(output):
        return True
    if op_name(value.target) == "div" and isinstance(value.args[1], fx.Node):
        value = _last_computation(value.args[1])  # divided by its norm, as in F.normalize
    return value.op == "call_function" and op_name(value.target) in _ENDINGS_OF_NUMBERS


def _is_limited(value: fx.Node) -> bool:
    """Return whether a value is clamped after its last computation."""
    last = _last_computation(value)
    while value is not last:
        if op_name(value.target).startswith("clamp"):
            return True
        value = value.args[0]  # type: ignore[assignment]  # the same walk as `_last_computation`
    return False


@torch.no_grad()
def _activations_by_sums(program: Program) -> Mapping[int, Activation]:
    """Return the activation of each output, judged by its row sums on four random samples."""
    # The tensors may have been moved or converted to float64 since the inputs were described.
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


def float_outputs(outputs: Sequence[object]) -> list[Tensor]:
    """Return the floating-point outputs, in float32."""
    return [o.float() for o in outputs if isinstance(o, Tensor) and torch.is_floating_point(o)]
