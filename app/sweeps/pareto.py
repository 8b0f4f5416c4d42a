"""Which results are worth having: those that no other beats in cost and in quality."""

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each (cost, value) whether no other point is at least as good in both.

    Less cost is better, more value is better; of points that are equal in both, all count.
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    is_front = [False] * len(points)
    best = float("-inf")  # of everything that costs strictly less
    start = 0
    while start < len(order):
        cost, top = points[order[start]]
        end = start
        while end < len(order) and points[order[end]][0] == cost:
            is_front[order[end]] = points[order[end]][1] == top and top > best
            end += 1
        best = max(best, top)
        start = end
    return is_front
