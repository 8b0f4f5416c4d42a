"""Multiply-accumulates (MACs) of each operator, as products of the sizes of its values.

`measure` multiplies the sizes of a program; the cost model of `graph` multiplies the sizes after
pruning. Both use this table, so they cannot disagree. Additions, activations and normalisations are
not counted, as is usual in the literature.
"""

import string
from collections.abc import Callable
from math import prod

from torch import Tensor, fx

from secateur.engine.program.functional import op_name
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import Shapes

# A factor is the size of a value along a dimension.
Factor = tuple[fx.Node, int]
Term = tuple[fx.Node, tuple[Factor, ...]]


def mac_terms(program: Program, shapes: Shapes) -> list[Term]:
    """Return the factors of every contraction; their product is its MACs for the whole batch."""
    terms: list[Term] = []
    for node in program.graph.nodes:
        rule = _RULES.get(op_name(node.target)) if node.op == "call_function" else None
        if rule is not None:
            terms += [(node, tuple(factors)) for factors in rule(node, shapes)]
    return terms


def num_macs(term: Term, shapes: Shapes) -> int:
    """Return the product of a term's sizes."""
    return prod(shapes[node].shape[dim] for node, dim in term[1])


def einsum_letters(equation: str, ranks: list[int]) -> tuple[list[str], str] | None:
    """Return one letter per dimension of the operands and output; None if the output is implicit.

    An ellipsis is replaced by unused letters.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    if not arrow:
        return None
    operands = left.split(",")
    hidden = [
        rank - len(letters.replace("...", "")) if "..." in letters else 0
        for letters, rank in zip(operands, ranks, strict=True)
    ]
    # Dimensions of an ellipsis are aligned at the last one.
    spare = [letter for letter in string.ascii_letters if letter not in equation]
    dots = "".join(spare[: max(hidden)])
    filled = [
        letters.replace("...", dots[len(dots) - count :])
        for letters, count in zip(operands, hidden, strict=True)
    ]
    return filled, right.replace("...", dots)


def _convolution(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    weight = node.args[1]
    return [[*_all(weight, shapes), (node, 0), *_all(node, shapes)[2:]]]


def _general(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    is_transposed = len(node.args) > 6 and node.args[6] is True  # noqa: PLR2004  # aten's position
    return (_transposed if is_transposed else _convolution)(node, shapes)


def _transposed(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    x, weight = node.args[0], node.args[1]
    return [[*_all(weight, shapes), *_all(x, shapes)[:1], *_all(x, shapes)[2:]]]


def _linear(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    return [[*_all(node.args[1], shapes), *_all(node, shapes)[:-1]]]


def _product(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    first = node.args[1] if op_name(node.target) in {"addmm", "baddbmm"} else node.args[0]
    return [[*_all(node, shapes), _all(first, shapes)[-1]]]


def _einsum(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    """Return the MACs of each contraction of two operands, in torch's order: from left to right.

    A letter has the largest of its sizes, because operands of size 1 are broadcast. Letters that
    only one operand has are summed first, unless a later operand or the result has them.
    """
    factors = [_all(operand, shapes) for operand in node.args[1]]  # type: ignore[union-attr]
    equation = str(node.args[0])
    is_implicit = "->" not in equation
    ranks = [len(each) for each in factors]
    parsed = einsum_letters(f"{equation}->" if is_implicit else equation, ranks)
    if parsed is None:
        return []
    operands, result = parsed
    if is_implicit:
        every = "".join(operands)
        result = "".join(letter for letter in every if every.count(letter) == 1)
    sizes: dict[str, Factor] = {}
    for letters, each in zip(operands, factors, strict=True):
        for letter, (value, dim) in zip(letters, each, strict=True):
            known = sizes.get(letter)
            if known is None or shapes[known[0]].shape[known[1]] < shapes[value].shape[dim]:
                sizes[letter] = value, dim
    terms, left = [], set(operands[0])
    for number, right in enumerate(operands[1:], 2):
        kept = set(result).union(*operands[number:])
        met = [letter for letter in sizes if letter in left | set(right)]
        used = [letter for letter in met if letter in kept or letter in left & set(right)]
        terms.append([sizes[letter] for letter in used])
        left = {letter for letter in met if letter in kept}
    return terms


def _attention(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    q, k, v = (_all(value, shapes) for value in node.args[:3])
    return [[*q, k[-2]], [*q[:-1], *v[-2:]]]


def _recurrent(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    """Return the MACs of each matrix of each layer and direction, for all steps of all samples."""
    weights = [w for w in node.args[2] if shapes[w].dim() > 1]  # type: ignore[union-attr,index]
    return [[*_all(weight, shapes), *_all(node.args[0], shapes)[:-1]] for weight in weights]


def _cell(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    weights = node.args[2:4]
    return [[*_all(weight, shapes), *_all(node.args[0], shapes)[:-1]] for weight in weights]


def _bilinear(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    return [[*_all(node.args[2], shapes), *_all(node.args[0], shapes)[:-1]]]


def _matrix_vector(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    return [_all(node.args[1 if op_name(node.target) == "addmv" else 0], shapes)]


def _distances(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    return [[*_all(node, shapes), _all(node.args[0], shapes)[-1]]]


def _all(value: object, shapes: Shapes) -> list[Factor]:
    assert isinstance(value, fx.Node)  # noqa: S101
    tensor: Tensor = shapes[value]
    return [(value, dim) for dim in range(tensor.dim())]


_RULES: dict[str, Callable[[fx.Node, Shapes], list[list[Factor]]]] = {
    **dict.fromkeys(["conv1d", "conv2d", "conv3d"], _convolution),
    "convolution": _general,
    **dict.fromkeys(["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"], _transposed),
    "linear": _linear,
    **dict.fromkeys(["matmul", "mm", "bmm", "addmm", "baddbmm"], _product),
    "einsum": _einsum,
    "scaled_dot_product_attention": _attention,
    "deform_conv2d": _convolution,
    **dict.fromkeys(["lstm", "gru", "rnn_tanh", "rnn_relu"], _recurrent),
    **dict.fromkeys(["lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"], _cell),
    "bilinear": _bilinear,
    **dict.fromkeys(["mv", "addmv"], _matrix_vector),
    "cdist": _distances,
}
