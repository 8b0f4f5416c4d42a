"""Fold numbers that a graph reads out of its stored tensors into literals.

Detectors keep the strides of their heads in a tensor and read them with ``item``. Such a number is
the same on every call, so it becomes a literal, and so does arithmetic with it. Only operators that
compute or move single elements are run, on values no larger than the stored ones. A number that
depends on the input is refused. Called by `functional`.
"""

import math
import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.errors import ModelRejectedError, UnsupportedOpError
from secateur.engine.program.aliases import is_in_place, possible_aliases
from secateur.engine.program.shapes import Shapes, call_on_meta, where
from secateur.engine.program.vocabulary import NUMBER_FROM_TENSOR, op_name

_MAX_CALLS = 64  # between the stored tensors and a number
_MAX_ELEMENTS = 4096  # of a value in between, if its stored tensors are smaller
_REDUCTIONS = frozenset("sum mean amax amin max min prod clone contiguous _to_copy".split())


def fold_numbers(graph: fx.Graph, tensors: Mapping[str, Tensor]) -> None:
    """Replace numbers that no input changes by literals, and erase numbers that nothing reads.

    Args:
        graph: Graph to rewrite in place; it may contain in-place operators.
        tensors: Stored tensors, by name.

    Raises:
        ModelRejectedError: Arithmetic with numbers fails.
        UnsupportedOpError: A number depends on the input, or on tensors that the graph writes to.
    """
    folded: set[fx.Node] = set()
    for node in list(graph.nodes):
        if not _is_number(node):
            continue
        if op_name(node.target) == "item" and not node.users:  # only an assertion read it
            folded.add(node)
        elif op_name(node.target) == "item":
            folded |= _replace(node, _read(node, tensors)) | {node}
        elif node in folded and not node.all_input_nodes:
            folded |= _replace(node, call_on_meta(node, {}))
    for node in reversed(list(graph.nodes)):
        if node in folded and _is_number(node) and not node.users:
            graph.erase_node(node)


def _is_number(node: fx.Node) -> bool:
    """Return whether a call reads a number or computes with numbers."""
    if node.op != "call_function" or node.target is operator.getitem:
        return False
    is_operator = isinstance(node.target, torch._ops.OpOverload)  # noqa: SLF001
    return not is_operator or op_name(node.target) == "item"


def _replace(node: fx.Node, number: float) -> set[fx.Node]:
    """Write ``number`` into the calls that read ``node``, and return them."""
    users = set(node.users)
    for user in users:
        user.args, user.kwargs = fx.map_arg(
            (user.args, user.kwargs),
            lambda used: number if used is node else used,
        )
    return users


@torch.no_grad()
def _read(node: fx.Node, tensors: Mapping[str, Tensor]) -> float:
    """Return the number that an ``item`` reads.

    Raises:
        UnsupportedOpError: It depends on the input, or on more than this module runs.
    """
    values: dict[fx.Node, Any] = {}
    *calls, _ = _calls_before(node)
    for each in calls:
        if each.op == "get_attr":
            values[each] = tensors[str(each.target)]
            if values[each].is_meta:
                raise _refusal(node)
            continue
        before: Shapes = {used: _to_meta(values[used]) for used in each.all_input_nodes}
        largest = max([_MAX_ELEMENTS, *map(_num_elements, before.values())])
        if _num_elements(call_on_meta(each, before)) > largest:
            raise _refusal(node)
        args, kwargs = fx.map_arg((each.args, each.kwargs), values.__getitem__)
        try:
            values[each] = each.target(*args, **kwargs)  # type: ignore[operator]
        except (RuntimeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise _refusal(node) from error
    given = node.args[0] if node.args else None
    read = values.get(given) if isinstance(given, fx.Node) else None
    if not isinstance(read, Tensor) or read.numel() != 1 or read.is_complex():
        raise ModelRejectedError(f"{where(node)} does not read a tensor with one real number")
    number: float = read.item()
    if math.isnan(number):
        raise ModelRejectedError(f"{where(node)} reads NaN")
    return number


def _calls_before(node: fx.Node) -> list[fx.Node]:
    """Return the nodes that a number is computed from, in order, and ``node`` itself."""
    found: dict[fx.Node, None] = {}
    frontier = [node]
    while frontier:
        each = frontier.pop()
        if each in found:
            continue
        found[each] = None
        is_run = each.op == "get_attr" or each is node or _may_run(each)
        is_written = any(is_in_place(u.target) for a in possible_aliases(each) for u in a.users)
        if not is_run or is_written or len(found) > _MAX_CALLS:
            raise _refusal(node)
        frontier += each.all_input_nodes
    return [each for each in node.graph.nodes if each in found]


def _may_run(node: fx.Node) -> bool:
    if node.op != "call_function" or is_in_place(node.target):
        return False
    if not isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001
        return True
    is_view = any(value.alias_info for value in node.target._schema.returns)  # noqa: SLF001
    is_pointwise = torch.Tag.pointwise in node.target.tags
    return is_view or is_pointwise or op_name(node.target) in _REDUCTIONS


def _to_meta(value: Any) -> Any:  # noqa: ANN401  # a tensor, a number, or lists of them
    if isinstance(value, (list, tuple)):
        return [_to_meta(each) for each in value]
    return value.to("meta") if isinstance(value, Tensor) else value


def _num_elements(value: Any) -> int:  # noqa: ANN401  # a tensor, a number, or lists of them
    if isinstance(value, (list, tuple)):
        return sum(map(_num_elements, value))
    return value.numel() if isinstance(value, Tensor) else 1


def _refusal(node: fx.Node) -> UnsupportedOpError:
    return UnsupportedOpError(f"{where(node)} is not an accepted operator: {NUMBER_FROM_TENSOR}")
