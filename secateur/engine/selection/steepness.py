"""Where a saliency curve turns steep (claim 3 of CN113361702A)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cut:
    """How many of the least salient filters go, and why, in words for the report."""

    num_removed: int
    reason: str


def cut(curve: Sequence[float], steepness: float = 1.0) -> Cut:
    """Return where ``curve``, ascending, turns steeper than ``steepness``.

    Both axes are scaled to [0, 1]: filter k of n stands at x = k / (n - 1), and its saliency at
    y = (s - min) / (d - min), where d is the ninth decile and y is at most 1. (Scaled by the
    maximum, one exceptional filter flattens the rest of the curve, and nearly all of it looks
    interchangeable: ResNet-20 on Fashion-MNIST was left with 12 % of its MACs.) The turn is the
    first point that minimises ``y - steepness * x``: the farthest below the line of that slope, so
    before it the curve rises more slowly than the line and after it faster, noise notwithstanding.
    The filters before the turn go. Filters as salient as the last that goes are interchangeable
    with it and go too.

    A straight line has no turn, and a constant curve says nothing: then nothing goes.
    """
    lowest, span = curve[0], curve[-1] - curve[0]
    # A span within rounding error of the values is no difference between filters.
    if span <= 1e-12 * max(abs(curve[0]), abs(curve[-1])):
        return Cut(0, "the curve is constant: it does not tell the filters apart")
    last, scale = len(curve) - 1, rise_of(curve)
    depths = [min(1.0, (s - lowest) / scale) - steepness * k / last for k, s in enumerate(curve)]
    deepest = min(depths)
    # Points of a straight line differ by rounding errors only; the first of them is the turn.
    turn = next(k for k, depth in enumerate(depths) if depth <= deepest + 1e-9)
    if turn == 0:
        return Cut(0, f"the curve never rises more slowly than slope {steepness:g}")
    num_removed = turn
    while num_removed < last and curve[num_removed] == curve[turn - 1]:
        num_removed += 1
    return Cut(num_removed, f"from filter {num_removed} on the curve is steeper than {steepness:g}")


def rise_of(curve: Sequence[float]) -> float:
    """Return what counts as the whole rise of an ascending curve: up to its ninth decile.

    Where nine tenths of the filters are alike, that is none, and it is the rise to the maximum.
    """
    lowest, span = curve[0], curve[-1] - curve[0]
    decile = curve[math.ceil(0.9 * (len(curve) - 1))] - lowest
    return decile if decile > 1e-12 * span else span
