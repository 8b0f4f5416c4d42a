"""Find where a saliency curve turns steep (claim 3 of CN113361702A)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cut:
    """Number of least salient filters to remove, and the reason for the report."""

    num_removed: int
    reason: str


def cut(curve: Sequence[float], steepness: float = 1.0) -> Cut:
    """Return the point where ``curve``, ascending, turns steeper than ``steepness``.

    Both axes are scaled to [0, 1]. Filter k of n has x = k / (n - 1) and y = (s - min) / (d - min),
    clipped to 1, where s is its saliency and d the ninth decile. (Scaling by the maximum lets one
    exceptional filter flatten the rest of the curve, so that nearly all filters look
    interchangeable: ResNet-20 on Fashion-MNIST kept 12 % of its MACs.) The turn is the first point
    that minimises ``y - steepness * x``, the farthest below the line of that slope. Despite noise,
    the curve rises more slowly than the line before the turn and faster after it. The filters
    before the turn are removed, and so are filters with the same saliency as the last of them.

    Nothing is removed if the curve is a straight line or constant.
    """
    lowest, span = curve[0], curve[-1] - curve[0]
    # A span within rounding error of the values does not distinguish filters.
    if span <= 1e-12 * max(abs(curve[0]), abs(curve[-1])):
        return Cut(0, "the curve is constant: it does not tell the filters apart")
    last, scale = len(curve) - 1, rise_of(curve)
    depths = [min(1.0, (s - lowest) / scale) - steepness * k / last for k, s in enumerate(curve)]
    deepest = min(depths)
    # On a straight line the depths differ by rounding errors only; the first point is the turn.
    turn = next(k for k, depth in enumerate(depths) if depth <= deepest + 1e-9)
    if turn == 0:
        return Cut(0, f"the curve never rises more slowly than slope {steepness:g}")
    num_removed = turn
    while num_removed < last and curve[num_removed] == curve[turn - 1]:
        num_removed += 1
    return Cut(num_removed, f"from filter {num_removed} on the curve is steeper than {steepness:g}")


def rise_of(curve: Sequence[float]) -> float:
    """Return the rise of an ascending curve from its minimum to its ninth decile.

    If nine tenths of the filters have equal saliency, return the rise to the maximum instead.
    """
    lowest, span = curve[0], curve[-1] - curve[0]
    decile = curve[math.ceil(0.9 * (len(curve) - 1))] - lowest
    return decile if decile > 1e-12 * span else span
