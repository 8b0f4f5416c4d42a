"""Rewrite in-place operators as functional ones, so that every value of a graph is written once.

``torch.export`` keeps ``relu_`` and ``x += y`` as the user wrote them. Analysis and caching want
values that never change, so both roads into a `Program` end here.
"""

import functools

import torch
from torch import fx

from worker.engine.errors import ModelRejectedError, UnsupportedOpError
from worker.engine.program.shapes import where

# Operators whose result may share memory with their first argument.
VIEWS = frozenset(
    "view reshape _unsafe_view flatten unflatten permute transpose t squeeze unsqueeze select "
    "slice narrow split split_with_sizes chunk unbind expand alias detach getitem contiguous to "
    "view_as reshape_as expand_as movedim diagonal unfold swapaxes".split()
)


@functools.cache
def op_name(target: object) -> str:
    """Return the bare name of a call target, such as ``conv2d``, without its overload."""
    if isinstance(target, torch._ops.OpOverload):  # noqa: SLF001  # torch has no public name for it
        return str(target.name()).split("::")[-1].split(".")[0]
    return str(getattr(target, "__name__", target))


def make_functional(graph: fx.Graph) -> None:
    """Replace every in-place operator of ``graph``, which is changed.

    Raises:
        UnsupportedOpError: A value is written in place while a view of it is used afterwards.
    """
    order = {node: index for index, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if node.op != "call_function" or not is_in_place(node.target):
            continue
        written = node.args[0] if node.args else None
        if not isinstance(written, fx.Node):
            raise ModelRejectedError(f"{where(node)} has no tensor to write into")
        for alias in _aliases(written):
            if any(order[user] > order[node] for user in alias.users if user is not node):
                raise UnsupportedOpError(
                    f"{where(node)} writes into memory that another value still reads; "
                    "write the model without this in-place operation"
                )
        node.target = _functional_overload(node)
        for user in list(written.users):
            if order[user] > order[node]:
                user.replace_input_with(written, node)


def is_in_place(target: object) -> bool:
    """Return whether a call target writes into its first argument."""
    name = op_name(target)
    return name.endswith("_") and not name.endswith("__")


def _functional_overload(node: fx.Node) -> torch._ops.OpOverload:
    target = node.target
    assert isinstance(target, torch._ops.OpOverload)  # noqa: S101, SLF001
    name = op_name(target).removesuffix("_")
    packet = getattr(torch.ops.aten, name, None)
    overload = getattr(packet, target._overloadname, None)  # noqa: SLF001
    if overload is None:
        raise UnsupportedOpError(f"{where(node)} has no form that is not in place")
    return overload  # type: ignore[no-any-return]


def _aliases(value: fx.Node) -> set[fx.Node]:
    """Return the other values that may share memory with ``value``."""
    found: set[fx.Node] = set()
    frontier = [value]
    while frontier:
        node = frontier.pop()
        linked = [user for user in node.users if op_name(user.target) in VIEWS]
        if op_name(node.target) in VIEWS:
            linked += [used for used in node.all_input_nodes[:1] if used.op == "call_function"]
        for other in linked:
            if other is not value and other not in found:
                found.add(other)
                frontier.append(other)
    return found
