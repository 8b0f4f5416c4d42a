"""Group and layer norms that exporters write out as several operators.

Below opset 21 PyTorch's exporters write GroupNorm as Reshape, InstanceNormalization with weights
of one, Reshape, Mul and Add. Below opset 17 they write LayerNorm as means, a difference and a
quotient. Here each becomes the call that was exported. Analysis and surgery know from that call
which channels share a mean, and how the norm counts removed channels.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.program.program import Program
from secateur.engine.program.shapes import propagate
from secateur.engine.program.vocabulary import op_name

_aten = torch.ops.aten
_Node = Any  # an fx.Node: types of its arguments are too wide to follow
_RESHAPES = frozenset("view reshape flatten unflatten unsqueeze squeeze".split())


def restore_norms(program: Program) -> Program:
    """Return the program with ``group_norm`` and ``layer_norm`` in place of what they consist of.

    A norm that is not exactly one of the two stays as it is written.
    """
    found = [node for node in program.graph.nodes if op_name(node.target) in _NORMS]
    if not found:
        return program
    sizes = {
        node: list(value.shape)
        for node, value in propagate(program).items()
        if isinstance(value, Tensor)
    }
    restorer = _Restorer(program, sizes)
    for node in found:
        _NORMS[op_name(node.target)](restorer, node)
    program.graph.eliminate_dead_code()
    return replace(program, tensors=restorer.tensors)


class _Restorer:
    """The program's graph, which it changes, and its tensors, of which it keeps a changed copy."""

    def __init__(self, program: Program, sizes: Mapping[fx.Node, list[int]]) -> None:
        self.tensors = dict(program.tensors)
        self._graph = program.graph
        self._sizes = sizes

    def group_norm(self, node: _Node) -> None:
        """Restore ``group_norm`` from an ``instance_norm`` between two reshapes."""
        inner, weight, bias = node.args[:3]
        end = _only_user(node)
        if not _is_reshape(inner) or not _is_reshape(end):
            return
        x = inner.args[0]
        own, grouped = self._sizes[x], self._sizes[inner]
        if self._sizes[end] != own or min(len(own), len(grouped)) < 2:  # noqa: PLR2004  # N and C
            return
        is_split = grouped[0] == own[0] and own[1] % grouped[1] == 0
        if not is_split or not self._is_all(weight, 1) or not self._is_all(bias, 0):
            return
        per_channel = [own[1], *[1] * (len(own) - 2)]
        end, scale, shift = self._affine(end, per_channel, [own[1]])
        epsilon = node.args[7]
        self._replace(end, _aten.group_norm.default, x, grouped[1], scale, shift, epsilon)

    def layer_norm(self, node: _Node) -> None:
        """Restore ``layer_norm`` from the division of a difference by its deviation."""
        centred, root = node.args[:2]
        total = _argument(root, "sqrt")
        variance = _argument(total, "add")
        square = _argument(variance, "mean")
        x, mean = _argument(centred, "sub"), _argument(centred, "sub", 1)
        if x is None or square is None or _argument(mean, "mean") is not x:
            return
        epsilon = total.args[1]
        is_square = op_name(square.target) == "pow" and tuple(square.args) == (centred, 2)
        is_square |= op_name(square.target) == "mul" and tuple(square.args) == (centred, centred)
        own = self._sizes[x]
        dims = [_dims(each, len(own)) for each in (mean, variance)]
        if not is_square or not isinstance(epsilon, float) or dims[0] != dims[1]:
            return
        if not dims[0] or dims[0] != list(range(dims[0][0], len(own))) or not dims[0][0]:
            return
        shape = own[dims[0][0] :]
        end, scale, shift = self._affine(node, shape, shape)
        self._replace(end, _aten.layer_norm.default, x, shape, scale, shift, epsilon)

    def _affine(
        self, end: _Node, sizes: list[int], stored: list[int]
    ) -> tuple[_Node, _Node, _Node]:
        """Return the last node of a norm, its scale, and its shift; None if it has none.

        Args:
            end: The node that has the normalised values.
            sizes: Sizes that the two have where they are multiplied and added.
            stored: Sizes that they have as arguments of the norm.
        """
        parts: list[_Node] = []
        for name, neutral in (("mul", 1), ("add", 0)):
            user = _only_user(end)
            if user is None or op_name(user.target) != name or user.kwargs or len(user.args) != 2:  # noqa: PLR2004
                break
            other = user.args[1] if user.args[0] is end else user.args[0]
            if isinstance(other, fx.Node):
                source = self._vector(other, sizes, stored)
                if source is None:
                    break
                parts.append(source)
            elif other == neutral:
                parts.append(None)
            else:
                break
            end = user
        scale, shift = [*parts, None, None][:2]
        return end, scale, shift

    def _vector(self, node: _Node, sizes: list[int], stored: list[int]) -> _Node:
        """Return a tensor of the file in the sizes of a norm's argument; None if it has others."""
        given = self._sizes[node]
        rank = max(len(given), len(sizes))
        if [1] * (rank - len(given)) + given != [1] * (rank - len(sizes)) + sizes:
            return None
        while _is_reshape(node):
            node = node.args[0]
        if node.op != "get_attr" or len(node.users) > 1:
            return None
        name = str(node.target)
        self.tensors[name] = self.tensors[name].reshape(stored)
        return node

    def _is_all(self, value: _Node, number: float) -> bool:
        """Return whether an argument is a tensor of the file with one value everywhere."""
        if not isinstance(value, fx.Node) or value.op != "get_attr":
            return False
        return bool((self.tensors[str(value.target)] == number).all())

    def _replace(self, end: _Node, target: Callable[..., Any], *arguments: _Node) -> None:
        with self._graph.inserting_after(end):
            norm = self._graph.call_function(target, arguments)
        norm.meta = dict(end.meta)
        end.replace_all_uses_with(norm)


def _only_user(node: _Node) -> _Node:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _is_reshape(value: _Node) -> bool:
    return isinstance(value, fx.Node) and op_name(value.target) in _RESHAPES


def _argument(value: _Node, name: str, place: int = 0) -> _Node:
    """Return an argument that is a node, of a call of ``name``; None if ``value`` is none."""
    if not isinstance(value, fx.Node) or op_name(value.target) != name or len(value.args) <= place:
        return None
    found = value.args[place]
    return found if isinstance(found, fx.Node) else None


def _dims(mean: _Node, rank: int) -> list[int]:
    """Return the dimensions of a mean that keeps them; none if it does not."""
    dims, keeps = [*mean.args[1:], None, None][:2]
    return sorted(dim % rank for dim in dims) if keeps and isinstance(dims, list | tuple) else []


_NORMS: dict[str, Callable[[_Restorer, _Node], None]] = {
    "instance_norm": _Restorer.group_norm,
    "div": _Restorer.layer_norm,
}
