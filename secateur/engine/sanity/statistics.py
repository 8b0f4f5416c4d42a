"""What flows into the first BatchNorm layers, against what they have seen in training.

A network that is fed pixels in another range, or without their mean and standard deviation, gets
a first normalisation whose input lies elsewhere than its running statistics. That needs no labels.
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
# A channel that the training samples hardly moved tells nothing: its variance is near zero.
_LEAST_SHARE = 1e-3
# Deviations by which a mean moves as readily as a spread by a factor of e: pictures on white shift
# the mean of a network of photographs by 0.7, with its own preprocessing.
_AS_ODD = 1.8


@dataclass(frozen=True)
class NormShift:
    """How far the input of one BatchNorm layer lies from its running statistics.

    Attributes:
        name: Of its running mean.
        shift: Distance of the means, in running standard deviations; the median over channels.
        spread: Standard deviation over the running one; the median over channels.
        is_untrained: Whether the statistics are as a new layer has them: means 0 and variances 1.
    """

    name: str
    shift: float
    spread: float
    is_untrained: bool


def first_norms(program: Program) -> tuple[fx.Node, ...]:
    """Return the BatchNorm calls with statistics that inputs reach without passing another."""
    behind: set[fx.Node] = set()  # reached from an input, but only through a normalisation
    fed: set[fx.Node] = set()  # reached from an input without one
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
    """Sums up mean and variance of every channel over batches (N, C, ...)."""

    def __init__(self) -> None:
        self._count = 0
        self._sums_2C: Tensor | None = None

    def add(self, values: Tensor) -> None:
        """Take in a batch."""
        flat = values.detach().double().transpose(0, 1).flatten(1)
        sums = torch.stack([flat.sum(1), flat.square().sum(1)])
        self._sums_2C = sums if self._sums_2C is None else self._sums_2C + sums
        self._count += flat.shape[1]

    def shift(self, program: Program, node: fx.Node) -> NormShift:
        """Return how far what was taken in lies from the statistics of a BatchNorm call."""
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
    """Return the trained layer whose input lies farthest away; None without one."""
    trained = [shift for shift in shifts if not shift.is_untrained]
    return max(trained, key=distance, default=None)


def distance(found: NormShift) -> float:
    """Return how far an input lies away: 1 is a factor of e in its spread, or as odd a shift."""
    return max(found.shift / _AS_ODD, abs(math.log(max(found.spread, _TINY))))


def _epsilon(node: fx.Node) -> float:
    return node.args[_EPSILON]  # type: ignore[return-value]
