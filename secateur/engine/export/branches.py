"""Parallel branches of convolutions as one convolution, for export (re-parameterisation).

RepVGG (Ding et al. 2021, arXiv:2101.03697) and MobileOne (arXiv:2206.04040) train several branches
that read one value and are added: convolutions with BatchNorm, and BatchNorm alone. After training
their sum is one convolution. Retraining needs the branches, so only the exported file is fused.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.program.functional import op_name
from secateur.engine.program.program import Program, Role
from secateur.engine.surgery.certificate import FLOAT64_TOLERANCE, deviation

_CONVOLUTIONS = {"conv1d": 1, "conv2d": 2, "conv3d": 3}  # with their spatial dimensions
_ADDED = 2  # operands of an addition


@dataclass(frozen=True)
class _Branch:
    """A convolution of ``source``: weight (O, C / groups, …) and bias (O), in float64.

    Attributes:
        source: Value that it reads.
        weight: Kernel.
        bias: Shift of each output channel.
        stride: Stride along each spatial dimension; so are the next two.
        padding: Zeros on both sides.
        dilation: Distance of taps.
        groups: Number of groups; 0 for an identity, which fits any.
        node: Its call of a convolution; None for an identity.
    """

    source: fx.Node
    weight: Tensor
    bias: Tensor
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 0
    node: fx.Node | None = None


def fuse_branches(program: Program) -> Program:
    """Return the program with one convolution for each sum of branches, proven in float64.

    If the proof fails, or nothing can be fused, the program itself is returned.
    """
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.graph, {}))
    fusion = _Fusion(graph, dict(program.tensors), dict(program.roles))
    if not fusion.run():
        return program
    fused = replace(program, graph=graph, tensors=fusion.tensors, roles=fusion.roles)
    found = deviation(program, fused, [program.example_inputs(2)], torch.float64)
    if not found.max_relative_error <= FLOAT64_TOLERANCE:
        return program
    # Only now are the new weights rounded to the type of the branches.
    rounded = {name: t.to(fusion.types.get(name, t.dtype)) for name, t in fused.tensors.items()}
    return fused.with_tensors(rounded)


class _Fusion:
    """Rewrites a graph in place."""

    def __init__(self, graph: fx.Graph, tensors: dict[str, Tensor], roles: dict[str, Role]) -> None:
        self.graph, self.tensors, self.roles = graph, tensors, roles
        self.types: dict[str, torch.dtype] = {}  # of the branches of each new tensor

    def run(self) -> bool:
        """Fuse all sums and return whether there were any."""
        is_changed = False
        for node in list(self.graph.nodes):
            if op_name(node.target) == "add" and len(node.args) == _ADDED and not node.kwargs:
                is_changed |= self._fuse(node)
        if is_changed:
            self.graph.eliminate_dead_code()
            used = {str(node.target) for node in self.graph.nodes if node.op == "get_attr"}
            self.tensors = {name: t for name, t in self.tensors.items() if name in used}
            self.roles = {name: role for name, role in self.roles.items() if name in used}
        return is_changed

    def _fuse(self, node: fx.Node) -> bool:
        """Replace a sum of two branches by a convolution, and return whether it was possible."""
        first, second = node.args
        if not isinstance(first, fx.Node) or not isinstance(second, fx.Node):
            if second == 0 and isinstance(first, fx.Node):  # the start of Python's sum()
                node.replace_all_uses_with(first)
                self.graph.erase_node(node)
                return True
            return False
        branches = [self._branch(value) for value in (first, second)]
        if None in branches:
            # A value that is added to a convolution of itself is an identity.
            branches = [
                self._identity(value, other) if own is None else own
                for value, own, other in zip((first, second), branches, branches[::-1], strict=True)
            ]
        one, other = branches
        if one is None or other is None:
            return False
        if one.node is None:
            one, other = other, one
        whole = _merged(one, other)
        if whole is None or whole.node is None:
            return False
        self._insert(node, whole)
        return True

    def _insert(self, node: fx.Node, whole: _Branch) -> None:
        assert whole.node is not None  # noqa: S101  # the caller has checked
        weight = str(whole.node.args[1].target)  # type: ignore[union-attr]
        name = weight.removesuffix(".fused")
        dtype = self.types.get(weight, self.tensors[weight].dtype)
        with self.graph.inserting_before(node):
            values: list[Any] = []
            for suffix, tensor in ((".fused", whole.weight), (".fused_bias", whole.bias)):
                self.tensors[name + suffix], self.types[name + suffix] = tensor, dtype
                self.roles[name + suffix] = Role.PARAMETER
                values.append(self.graph.create_node("get_attr", name + suffix))
            spatial = (list(whole.stride), list(whole.padding), list(whole.dilation))
            fused = self.graph.call_function(
                whole.node.target,  # type: ignore[arg-type]
                (whole.source, *values, *spatial, whole.groups),
            )
        fused.meta = dict(node.meta)
        node.replace_all_uses_with(fused)
        self.graph.erase_node(node)

    def _branch(self, node: fx.Node) -> _Branch | None:
        """Return a value as a branch, if nothing else reads it."""
        if len(node.users) != 1 or node.op != "call_function":
            return None
        if op_name(node.target) == "batch_norm":
            return self._normalised(node)
        return self._convolution(node)

    def _normalised(self, node: fx.Node) -> _Branch | None:
        """Return BatchNorm, of a convolution or of any value, as a branch."""
        x, scale, shift, mean, variance, is_training, _, epsilon, *_ = [*node.args, None]
        average, spread = self._stored(mean), self._stored(variance)
        if is_training or not isinstance(x, fx.Node) or average is None or spread is None:
            return None
        factor = self._stored(scale, 1.0) / (spread + epsilon).sqrt()
        offset = self._stored(shift, 0.0) - average * factor
        inner = self._convolution(x) if len(x.users) == 1 else None
        if inner is None:
            return _Branch(x, factor, offset)
        weight = inner.weight * factor.view(-1, *[1] * (inner.weight.dim() - 1))
        return replace(inner, weight=weight, bias=inner.bias * factor + offset)

    def _convolution(self, node: fx.Node) -> _Branch | None:
        rank = _CONVOLUTIONS.get(op_name(node.target))
        if rank is None or getattr(node.target, "_overloadname", "") != "default" or node.kwargs:
            return None
        args: list[Any] = list(node.args)
        x, weight, bias, *rest = args + [None, 1, 0, 1, 1][len(args) - 2 :]
        kernel = self._stored(weight)
        if not isinstance(x, fx.Node) or kernel is None or type(rest[3]) is not int:
            return None
        if bias is not None and self._stored(bias) is None:
            return None
        zeros = torch.zeros(kernel.shape[0], dtype=kernel.dtype, device=kernel.device)
        shift = zeros if bias is None else self._stored(bias)
        stride, padding, dilation = (
            (v,) * rank if isinstance(v, int) else tuple(v) * (rank if len(v) == 1 else 1)
            for v in rest[:3]
        )
        return _Branch(x, kernel, shift, stride, padding, dilation, rest[3], node)

    def _identity(self, value: fx.Node, other: _Branch | None) -> _Branch | None:
        if other is None or other.source is not value:
            return None
        ones = torch.ones_like(other.bias)
        return _Branch(value, ones, torch.zeros_like(ones))

    def _stored(self, value: object, default: float | None = None) -> Any:  # noqa: ANN401  # tensor
        """Return a stored tensor in float64; ``default`` if there is none."""
        if isinstance(value, fx.Node) and value.op == "get_attr":
            return self.tensors[str(value.target)].detach().double()
        return default


def _merged(one: _Branch, other: _Branch) -> _Branch | None:
    """Return the sum of a convolution and another branch, or None."""
    if other.node is None:
        if one.node is None or set(one.stride) != {1} or len(other.bias) != len(one.bias):
            return None
        other = _as_convolution(other, one)
    if one.source is not other.source or len(one.bias) != len(other.bias):
        return None
    if (one.stride, one.groups) != (other.stride, other.groups):
        return None
    if one.weight.shape[1] != other.weight.shape[1]:
        return None
    large, small = sorted((one, other), key=lambda b: -math.prod(b.weight.shape[2:]))
    margins: list[int] = []
    for dim, dilation in enumerate(large.dilation):
        size, inner = large.weight.shape[2 + dim], small.weight.shape[2 + dim]
        margin, left_over = divmod(large.padding[dim] - small.padding[dim], dilation)
        fits = inner == 1 or small.dilation[dim] == dilation
        if left_over or margin < 0 or size - inner != 2 * margin or not fits:
            return None
        margins = [margin, margin, *margins]  # the last dimension comes first
    weight = large.weight + torch.nn.functional.pad(small.weight, margins)
    return replace(large, weight=weight, bias=one.bias + other.bias)


def _as_convolution(identity: _Branch, like: _Branch) -> _Branch:
    """Return an identity with a scale per channel as a convolution of one tap."""
    num_channels, width = len(identity.bias), like.weight.shape[1]
    rank = like.weight.dim() - 2
    weight = torch.zeros(num_channels, width, dtype=like.weight.dtype, device=like.weight.device)
    channels = torch.arange(num_channels, device=weight.device)
    weight[channels, channels % width] = identity.weight
    return _Branch(
        identity.source,
        weight.view(num_channels, width, *[1] * rank),
        identity.bias,
        (1,) * rank,
        (0,) * rank,
        like.dilation,
        like.groups,
        like.node,
    )
