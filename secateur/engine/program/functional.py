"""Rewrite in-place operators as functional ones, so that every value of a graph is written once.

``torch.export`` keeps ``relu_``, ``x += y`` and ``x[:, 0] = y`` as the user wrote them. Analysis
and caching need values that never change, so `reader` and `exported` both call this. Most writes go
to a value that has no views; there only the operator changes. Graphs that write through views are
rewritten by `memory`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, fx

from secateur.engine.errors import ModelRejectedError, UnsupportedOpError
from secateur.engine.program.aliases import is_in_place, possible_aliases
from secateur.engine.program.constants import fold_numbers
from secateur.engine.program.dialect import use_one_spelling
from secateur.engine.program.memory import rewrite_writes
from secateur.engine.program.program import InputSpec
from secateur.engine.program.shapes import values_on_meta, where
from secateur.engine.program.vocabulary import functional_form, op_name

__all__ = ["is_in_place", "make_functional", "op_name"]

_EMPTY = {
    "empty": "zeros",
    "empty_like": "zeros_like",
    "empty_permuted": "zeros",
    "empty_strided": "zeros",
    "new_empty": "new_zeros",
    "new_empty_strided": "new_zeros",
}


def make_functional(
    graph: fx.Graph, tensors: Mapping[str, Tensor], inputs: tuple[InputSpec, ...]
) -> None:
    """Replace every in-place operator and every folded number of ``graph``, which is modified.

    Raises:
        ModelRejectedError: An in-place operator has no tensor to write into, or the model was
            exported in training mode.
        UnsupportedOpError: The graph writes into a stored tensor, or through a view that has no
            inverse, or a number depends on the input.
    """
    fold_numbers(graph, tensors)
    order = {node: index for index, node in enumerate(graph.nodes)}
    writes: list[fx.Node] = []
    for node in graph.nodes:
        if op_name(node.target) in _EMPTY:
            _fill_with_zeros(node)
        if not is_in_place(node.target):
            continue
        if not node.args or not isinstance(node.args[0], fx.Node):
            raise ModelRejectedError(f"{where(node)} has no tensor to write into")
        if torch.Tag.inplace_view in node.target.tags:  # changes the view, not the values
            _replace(node, order)
        else:
            writes.append(node)
    if all(_has_no_live_alias(node, order) for node in writes):
        for node in writes:
            _replace(node, order)
    else:
        rewrite_writes(graph, values_on_meta(graph, tensors, inputs, shortcuts=False))
    use_one_spelling(graph, tensors)


def _replace(node: fx.Node, order: dict[fx.Node, int]) -> None:
    """Turn a write into a call that returns the new value, and make later calls read it."""
    written = node.args[0]
    assert isinstance(written, fx.Node)  # noqa: S101  # checked before
    assert isinstance(node.target, torch._ops.OpOverload)  # noqa: S101, SLF001
    form = functional_form(node.target)
    if form is None:
        raise UnsupportedOpError(f"{where(node)} has no functional form")
    node.target = form
    if form is torch.ops.aten.zeros_like.default:
        node.args, node.kwargs = node.args[:1], {}
    for user in list(written.users):
        if order[user] > order[node]:
            user.replace_input_with(written, node)


def _has_no_live_alias(node: fx.Node, order: dict[fx.Node, int]) -> bool:
    """Return whether no other value that may share the written memory is read later."""
    written = {node, node.args[0]}
    for alias in possible_aliases(node):
        if alias.op == "get_attr":
            return False
        if alias not in written and any(order[user] > order[node] for user in alias.users):
            return False
    return True


def _fill_with_zeros(node: fx.Node) -> None:
    """Replace uninitialised memory by zeros, so that it cannot leak another network's data."""
    name = op_name(node.target)
    kwargs = {k: v for k, v in node.kwargs.items() if k not in {"memory_format", "stride"}}
    kwargs.pop("physical_layout", None)
    num_args = {"empty": 1, "empty_like": 1, "empty_permuted": 1, "empty_strided": 1}.get(name, 2)
    node.args, node.kwargs = tuple(node.args[:num_args]), kwargs
    node.target = getattr(torch.ops.aten, _EMPTY[name]).default
