"""BatchNorm layers with running statistics, as folding sees them."""

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from secateur.engine.program.functional import op_name
from secateur.engine.program.program import Program
from secateur.engine.retrain.batch_norm import has_statistics, statistics_of

_LAYERS = frozenset("conv1d conv2d conv3d linear".split())
_LEAST = 1e-12  # of a variance


@dataclass(frozen=True)
class Norm:
    """A BatchNorm with running statistics.

    Attributes:
        mean: Name of the running mean.
        variance: Name of the running variance.
        weight: Name of the scale, if it has one.
        eps: Amount added to the variance.
        layer: Names of the weight and the bias of the convolution or linear layer before it, if no
            other call reads that layer's output or these tensors; filters are dimension 0.
    """

    mean: str
    variance: str
    weight: str | None
    eps: float
    layer: tuple[str, ...] = ()

    def factors(self, program: Program) -> tuple[Tensor, Tensor]:
        """Return the scale of each channel (C,) and the standard deviation of its inputs (C,)."""
        variance = program.tensors[self.variance].double() + self.eps
        weight = None if self.weight is None else program.tensors[self.weight]
        scale = torch.ones_like(variance) if weight is None else weight.double()
        return scale, variance.clamp_min(_LEAST).sqrt()


def find_norms(program: Program) -> list[Norm]:
    """Return the BatchNorms of a program, except those that share their statistics."""
    uses: Counter[str] = Counter()
    for node in program.graph.nodes:
        if node.op == "get_attr":
            uses[str(node.target)] += len(node.users)
    found = []
    for node in program.graph.nodes:
        if has_statistics(node):
            mean, variance = statistics_of(node)
            if uses[mean] == uses[variance] == 1:
                weight = node.args[1]
                name = str(weight.target) if isinstance(weight, fx.Node) else None
                layer = _layer(node, uses)
                found.append(Norm(mean, variance, name, float(node.args[7]), layer))
    return found


def _layer(node: fx.Node, uses: Counter[str]) -> tuple[str, ...]:
    before = node.args[0]
    if not isinstance(before, fx.Node) or op_name(before.target) not in _LAYERS:
        return ()
    tensors = [each for each in before.args[1:3] if isinstance(each, fx.Node)]
    tensors += [each for each in before.kwargs.values() if isinstance(each, fx.Node)]
    names = tuple(str(each.target) for each in tensors)
    is_stored = all(each.op == "get_attr" and uses[str(each.target)] == 1 for each in tensors)
    return names if is_stored and len(before.users) == 1 else ()
