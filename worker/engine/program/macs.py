"""Multiply-accumulates as products of dimensions: which sizes of which values make up the cost.

`measure` multiplies the sizes a program has; the cost model of `graph` multiplies the sizes it
would have after pruning. One table for both, so they cannot disagree. Additions, activations and
normalisations are not counted, as is the habit of the field.
"""

from collections.abc import Callable
from math import prod

from torch import Tensor, fx

from worker.engine.program.functional import op_name
from worker.engine.program.program import Program
from worker.engine.program.shapes import Shapes

# One factor is the size of a value along a dimension.
Factor = tuple[fx.Node, int]
Term = tuple[fx.Node, tuple[Factor, ...]]


def mac_terms(program: Program, shapes: Shapes) -> list[Term]:
    """Return for every contraction the factors whose product is its MACs for the whole batch."""
    terms: list[Term] = []
    for node in program.graph.nodes:
        rule = _RULES.get(op_name(node.target)) if node.op == "call_function" else None
        if rule is not None:
            terms += [(node, tuple(factors)) for factors in rule(node, shapes)]
    return terms


def num_macs(term: Term, shapes: Shapes) -> int:
    """Return the product of a term's sizes."""
    return prod(shapes[node].shape[dim] for node, dim in term[1])


def _convolution(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    weight = node.args[1]
    return [[*_all(weight, shapes), (node, 0), *_all(node, shapes)[2:]]]


def _transposed(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    x, weight = node.args[0], node.args[1]
    return [[*_all(weight, shapes), *_all(x, shapes)[:1], *_all(x, shapes)[2:]]]


def _linear(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    return [[*_all(node.args[1], shapes), *_all(node, shapes)[:-1]]]


def _product(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    first = node.args[1] if op_name(node.target) in {"addmm", "baddbmm"} else node.args[0]
    return [[*_all(node, shapes), _all(first, shapes)[-1]]]


def _einsum(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    equation, operands = str(node.args[0]).replace(" ", ""), node.args[1]
    by_letter: dict[str, Factor] = {}
    for letters, operand in zip(equation.split("->")[0].split(","), operands, strict=True):  # type: ignore[arg-type]
        if "." in letters:
            return []
        by_letter |= dict(zip(letters, _all(operand, shapes), strict=True))
    return [list(by_letter.values())]


def _attention(node: fx.Node, shapes: Shapes) -> list[list[Factor]]:
    q, k, v = (_all(value, shapes) for value in node.args[:3])
    return [[*q, k[-2]], [*q[:-1], *v[-2:]]]


def _all(value: object, shapes: Shapes) -> list[Factor]:
    assert isinstance(value, fx.Node)  # noqa: S101
    tensor: Tensor = shapes[value]
    return [(value, dim) for dim in range(tensor.dim())]


_RULES: dict[str, Callable[[fx.Node, Shapes], list[list[Factor]]]] = {
    **dict.fromkeys(["conv1d", "conv2d", "conv3d"], _convolution),
    **dict.fromkeys(["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"], _transposed),
    "linear": _linear,
    **dict.fromkeys(["matmul", "mm", "bmm", "addmm", "baddbmm"], _product),
    "einsum": _einsum,
    "scaled_dot_product_attention": _attention,
}
