"""Readers: calls that multiply a value by a stored weight."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from torch import fx

from secateur.engine.program.functional import op_name
from secateur.engine.program.macs import einsum_letters
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import Shapes
from secateur.engine.repair.forms import Contraction, Convolution, Form
from secateur.engine.retrain.batch_norm import has_statistics

_LETTERS = "abcdefghijklmnopqrstuvw"


@dataclass(frozen=True)
class Reader:
    """A call that multiplies a value by a stored weight.

    Attributes:
        x: Value that is multiplied.
        weight: Name of the weight.
        bias: Name of the bias, if there is one.
        form: How its tensors become rows and matrices.
        is_shared: Whether other readers have the same weight.
    """

    x: fx.Node
    weight: str
    bias: str | None
    form: Form
    is_shared: bool = False


def find_readers(
    program: Program, shapes: Shapes, nodes: Collection[fx.Node]
) -> dict[fx.Node, Reader]:
    """Return the readers among ``nodes``, in the order of the graph.

    A weight or bias that another call reads too is left out, unless all calls are readers with
    the same weight and bias.
    """
    uses: Counter[str] = Counter()
    for node in program.graph.nodes:
        if node.op == "get_attr":
            uses[str(node.target)] += len(node.users)
    found = {node: _reader(node, shapes) for node in program.graph.nodes if node in nodes}
    readers = {node: reader for node, reader in found.items() if reader is not None}
    pairs = Counter((reader.weight, reader.bias) for reader in readers.values())
    return {
        node: replace(reader, is_shared=pairs[reader.weight, reader.bias] > 1)
        for node, reader in readers.items()
        for names in [[name for name in (reader.weight, reader.bias) if name is not None]]
        if all(uses[name] == pairs[reader.weight, reader.bias] for name in names)
    }


def is_centred(node: fx.Node, reader: Reader) -> bool:
    """Return whether a bias, or the BatchNorm behind a reader, can hold the mean of its outputs."""
    return reader.bias is not None or all(has_statistics(user) for user in node.users)


def _reader(node: fx.Node, shapes: Shapes) -> Reader | None:
    """Return the reader that a call is; None for other calls and for computed weights."""
    name = op_name(node.target) if node.op == "call_function" else ""
    if name in _CONVOLUTIONS:
        return _convolution(node, name, shapes)
    if name == "linear":
        return _linear(node, shapes)
    if name in {"matmul", "mm", "bmm"}:
        return _product(node, node.args[0], _argument(node, 1, "other"), None, shapes)
    if name in {"addmm", "baddbmm"} and not {"alpha", "beta"} & node.kwargs.keys():
        bias = _stored(node.args[0])
        is_vector = bias is not None and shapes[node.args[0]].dim() == 1  # type: ignore[index]
        first, second = _argument(node, 1, "mat1"), _argument(node, 2, "mat2")
        return _product(node, first, second, bias, shapes) if is_vector else None
    return _einsum(node, shapes) if name == "einsum" else None


def _convolution(node: fx.Node, name: str, shapes: Shapes) -> Reader | None:
    weight, bias = _stored(_argument(node, 1, "weight")), _argument(node, 2, "bias")
    if weight is None or (bias is not None and _stored(bias) is None):
        return None
    is_transposed = "transpose" in name
    kernel = tuple(shapes[_argument(node, 1, "weight")].shape[2:])
    rank = len(kernel)
    stride = _each(_argument(node, 3, "stride", 1), rank)
    padding = _argument(node, 4, "padding", 0)
    if is_transposed:
        after = _each(_argument(node, 5, "output_padding", 0), rank)
        groups = _argument(node, 6, "groups", 1)
        dilation = _each(_argument(node, 7, "dilation", 1), rank)
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        pads = [(r - p, r - p) for r, p in zip(reach, _each(padding, rank), strict=True)]
        form = Convolution(
            kernel,
            (1,) * rank,
            tuple(pads),
            dilation,
            groups,
            stride,
            after,
        )
    else:
        dilation = _each(_argument(node, 5, "dilation", 1), rank)
        groups = _argument(node, 6, "groups", 1)
        form = Convolution(kernel, stride, _padding(padding, kernel, dilation), dilation, groups)
    return Reader(node.args[0], weight, _stored(bias), form)  # type: ignore[arg-type]


def _padding(
    given: Any,  # noqa: ANN401  # numbers or a word
    kernel: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """Return the zeros before and after each dimension."""
    if given == "valid":
        given = 0
    if given == "same":
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((r // 2, r - r // 2) for r in reach)
    return tuple((p, p) for p in _each(given, len(kernel)))


def _linear(node: fx.Node, shapes: Shapes) -> Reader | None:
    x, bias = node.args[0], _argument(node, 2, "bias")
    if bias is not None and _stored(bias) is None:
        return None
    letters = _LETTERS[: shapes[x].dim() - 1]  # type: ignore[index]
    form = (f"{letters}y", "zy", f"{letters}z")
    return _contraction(node, x, _argument(node, 1, "weight"), form, _stored(bias), shapes)


def _product(
    node: fx.Node,
    first: Any,  # noqa: ANN401  # an argument
    second: Any,  # noqa: ANN401
    bias: str | None,
    shapes: Shapes,
) -> Reader | None:
    """Return the reader of a (…, M, K) times b (…, K, N), if either is a stored weight."""
    a, b, rank = shapes[first].dim(), shapes[second].dim(), shapes[node].dim()
    if min(a, b) < 2:  # noqa: PLR2004  # a matrix has two dimensions
        return None
    batch = _LETTERS[: rank - 2]
    form = (f"{batch[rank - a :]}mk", f"{batch[rank - b :]}kn", f"{batch}mn")
    left, right, out = (part.translate(str.maketrans("mkn", "xyz")) for part in form)
    if _permuted(second, shapes) is not None:
        return _contraction(node, first, second, (left, right, out), bias, shapes)
    return _contraction(node, second, first, (right, left, out), None, shapes)


def _einsum(node: fx.Node, shapes: Shapes) -> Reader | None:
    operands: Any = _argument(node, 1, "tensors")
    parsed = einsum_letters(str(node.args[0]), [shapes[each].dim() for each in operands])
    if parsed is None or len(operands) != 2:  # noqa: PLR2004
        return None
    (first, second), out = parsed
    x, w = operands
    if _permuted(w, shapes) is not None:
        return _contraction(node, x, w, (first, second, out), None, shapes)
    return _contraction(node, w, x, (second, first, out), None, shapes)


def _contraction(  # operands and letters
    node: fx.Node,
    x: Any,  # noqa: ANN401  # an argument
    w: Any,  # noqa: ANN401
    letters: tuple[str, str, str],
    bias: str | None,
    shapes: Shapes,
) -> Reader | None:
    """Return a contraction, unless its weight is computed or its letters do not form one."""
    found = _permuted(w, shapes)
    if found is None or not isinstance(x, fx.Node):
        return None
    name, order = found
    of_x, of_w, of_y = letters
    stored = "".join(letter for _, letter in sorted(zip(order, of_w, strict=True)))
    every = (of_x, of_w, of_y)
    is_sum = all(sum(c in part for part in every) > 1 for c in set("".join(every)))
    is_simple = all(len(set(part)) == len(part) for part in every)
    form = Contraction(of_x, stored, of_y)
    if not is_sum or not is_simple or not form._rows:  # noqa: SLF001  # own class
        return None
    sizes = [(c, n) for v, part in zip((x, w, node), every, strict=True)
             for c, n in zip(part, shapes[v].shape, strict=True)]  # fmt: skip
    if len(set(sizes)) != len({letter for letter, _ in sizes}):  # a dimension is broadcast
        return None
    return Reader(x, name, bias, form)


def _permuted(value: object, shapes: Shapes) -> tuple[str, list[int]] | None:
    """Return the stored tensor that a value is, and where each of its dimensions comes from."""
    if not isinstance(value, fx.Node):
        return None
    if value.op == "get_attr":
        return str(value.target), list(range(shapes[value].dim()))
    name = op_name(value.target)
    found = _permuted(value.args[0], shapes) if name in _PERMUTATIONS else None
    if found is None:
        return None
    rank = shapes[value].dim()
    order = list(range(rank))
    if name == "permute":
        order = [dim % rank for dim in _argument(value, 1, "dims")]
    elif rank > 1:
        one, other = value.args[1:3] if name == "transpose" else (0, 1)
        order[one], order[other] = order[other], order[one]  # type: ignore[index]
    return found[0], [found[1][dim] for dim in order]


def _stored(value: object) -> str | None:
    if isinstance(value, fx.Node) and value.op == "get_attr":
        return str(value.target)
    return None


def _argument(node: fx.Node, index: int, name: str, default: Any = None) -> Any:  # noqa: ANN401  # literal
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)


def _each(value: Any, rank: int) -> tuple[int, ...]:  # noqa: ANN401  # one number, or several
    given = [value] if isinstance(value, int) else list(value)
    return tuple(given * rank if len(given) == 1 else given)


_PERMUTATIONS = frozenset({"t", "numpy_T", "transpose", "permute"})
_CONVOLUTIONS = frozenset(
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d".split()
)
