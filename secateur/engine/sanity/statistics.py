"""Compare the input of the first BatchNorm layers with their running statistics.

Pixels in the wrong range, or without normalisation, shift the input of the first BatchNorm layers
away from the running statistics. The check needs no labels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from secateur.engine.program.program import Program
from secateur.engine.retrain.batch_norm import has_statistics

_MEAN, _VARIANCE, _EPSILON = 3, 4, 7
_TINY = 1e-12
# Ignore channels that were nearly constant in training: their variance is near zero.
_LEAST_SHARE = 1e-3
# A mean shift of this many deviations counts as much as a spread off by a factor of e. Images on a
# white background shift the mean by 0.7 in a network trained on photographs, with the network's own
# preprocessing.
_AS_ODD = 1.8


@dataclass(frozen=True)
class NormShift:
    """Shift of a BatchNorm layer's input from its running statistics.

    Attributes:
        name: Name of the layer's running mean.
        shift: Distance of the means, in running standard deviations; median over channels.
        spread: Standard deviation divided by the running one; median over channels.
        is_untrained: Whether the statistics are those of a new layer: means 0 and variances 1.
    """

    name: str
    shift: float
    spread: float
    is_untrained: bool


def first_norms(program: Program) -> tuple[fx.Node, ...]:
    """Return the first BatchNorm calls with statistics on every path from an input."""
    behind: set[fx.Node] = set()  # downstream of a BatchNorm
    fed: set[fx.Node] = set()  # downstream of an input, without a BatchNorm between
    first = []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            fed.add(node)
            continue
        sources = node.all_input_nodes
        if has_statistics(node):
            if node.args[0] in fed:
                first.append(node)
            behind.add(node)
        elif any(source in behind for source in sources):
            behind.add(node)
        elif any(source in fed for source in sources):
            fed.add(node)
    return tuple(first)


class Moments:
    """Accumulator of mean and variance per channel over batches (N, C, ...)."""

    def __init__(self) -> None:
        self._count = 0
        self._sums_2C: Tensor | None = None

    def add(self, values: Tensor) -> None:
        """Add a batch."""
        flat = values.detach().double().transpose(0, 1).flatten(1)
        sums = torch.stack([flat.sum(1), flat.square().sum(1)])
        self._sums_2C = sums if self._sums_2C is None else self._sums_2C + sums
        self._count += flat.shape[1]

    def shift(self, program: Program, node: fx.Node) -> NormShift:
        """Return the distance of the added values from a BatchNorm call's running statistics."""
        assert self._sums_2C is not None  # noqa: S101  # there are samples
        names = [str(node.args[i].target) for i in (_MEAN, _VARIANCE)]  # type: ignore[union-attr]
        mean_C, variance_C = (program.tensors[name].double() for name in names)
        found_C = self._sums_2C[0] / self._count
        spread_C = (self._sums_2C[1] / self._count - found_C.square()).clamp_min(0)
        is_untrained = not bool(mean_C.any()) and bool((variance_C == 1).all())
        alive = variance_C > _LEAST_SHARE * variance_C.mean()
        if not bool(alive.any()):
            alive = torch.ones_like(alive)
        scale_C = (variance_C[alive] + float(_epsilon(node))).sqrt().clamp_min(_TINY)
        shift = ((found_C[alive] - mean_C[alive]).abs() / scale_C).median()
        spread = (spread_C[alive].sqrt() / scale_C).median()
        return NormShift(names[0], float(shift), float(spread), is_untrained)


def worst(shifts: Sequence[NormShift]) -> NormShift | None:
    """Return the trained layer with the most distant input; None if no layer is trained."""
    trained = [shift for shift in shifts if not shift.is_untrained]
    return max(trained, key=distance, default=None)


def distance(found: NormShift) -> float:
    """Return the distance of an input; 1 is a factor of e in spread or 1.8 deviations of shift."""
    return max(found.shift / _AS_ODD, abs(math.log(max(found.spread, _TINY))))


def _epsilon(node: fx.Node) -> float:
    return node.args[_EPSILON]  # type: ignore[return-value]
