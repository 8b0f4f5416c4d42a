"""Pareto fronts of results by cost and quality."""

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each (cost, value) whether it is on the Pareto front.

    Lower cost and higher value are better. Points equal in both are all on the front.
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    is_front = [False] * len(points)
    best = float("-inf")  # best value at strictly lower cost
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
