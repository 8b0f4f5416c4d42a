"""Greedy descent: narrow the families until a cost target is met, with the least damage.

Each step is the one with the least damage per unit of cost saved; costs are exact. A `budget`
counts MACs, parameters or seconds, and damage is the effect of narrowing a layer. A global `ratio`
counts groups, and damage is the saliency of the removed groups.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence

from secateur.engine.selection.ladder import Ladder

Widths = dict[str, int]
Cost = Callable[[Mapping[str, int]], float]
Damage = Callable[[Ladder, int, int], float]  # (ladder, narrower width, wider width)


def descend(
    ladders: Sequence[Ladder],
    widths: Widths,
    cost: Cost,
    target: float,
    damage: Damage = Ladder.damage_between,
) -> Widths:
    """Return widths whose cost is at most ``target``, or the narrowest if that is impossible.

    Undoing any single step of the result would miss the target.

    Args:
        ladders: The families that may narrow.
        widths: Current width of every family; families without a ladder keep theirs.
        cost: Cost of given widths. MACs, parameters and groups fall with every step, and a step
            saves less the narrower its neighbours are. If the cost is a staircase, such as latency,
            steps that save nothing are taken together with the next one that does.
        target: The cost to reach.
        damage: Damage of a step.
    """
    narrow = _narrow(ladders, dict(widths), cost, target, damage)
    return _undo_unneeded(ladders, narrow, cost, target, damage)


def _narrow(
    ladders: Sequence[Ladder], widths: Widths, cost: Cost, target: float, damage: Damage
) -> Widths:
    current = cost(widths)
    heap: list[tuple[float, float, int]] = []
    for index, ladder in enumerate(ladders):
        _push(heap, index, _price(ladder, widths, cost, current, damage))
    # Savings only shrink as neighbours narrow, so a price in the heap is a lower bound. Reprice the
    # cheapest step: if it is still the cheapest, it is the best one.
    while current > target and heap:
        _, _, index = heapq.heappop(heap)
        price = _price(ladders[index], widths, cost, current, damage)
        if price is None:
            continue
        if heap and (*price, index) > heap[0]:
            _push(heap, index, price)
            continue
        if current + price[1] <= target:
            index = _cheapest_last_step(ladders, widths, cost, target, damage)
        widths = _stepped(ladders[index], widths, cost, current)
        current = cost(widths)
        _push(heap, index, _price(ladders[index], widths, cost, current, damage))
    return widths


def _undo_unneeded(
    ladders: Sequence[Ladder], widths: Widths, cost: Cost, target: float, damage: Damage
) -> Widths:
    """Undo the steps that the target does not need, most damaging first; return the widths."""
    candidates: list[tuple[float, int]] = []
    for index, ladder in enumerate(ladders):
        _push_wider(candidates, index, ladder, widths, damage)
    while candidates:
        _, index = heapq.heappop(candidates)
        ladder = ladders[index]
        wider = ladder.next_above(widths[ladder.name])
        if wider is None:
            continue
        trial = {**widths, ladder.name: wider}
        if cost(trial) <= target:  # otherwise never again: every undo raises the cost
            widths = trial
            _push_wider(candidates, index, ladder, widths, damage)
    return widths


def _step(ladder: Ladder, widths: Widths, cost: Cost, current: float) -> tuple[int, float] | None:
    """Return the next narrower width that saves anything, and its saving."""
    narrow = ladder.next_below(widths[ladder.name])
    while narrow is not None:
        saving = current - cost({**widths, ladder.name: narrow})
        if saving > 0:
            return narrow, saving
        narrow = ladder.next_below(narrow)
    return None


def _price(
    ladder: Ladder, widths: Widths, cost: Cost, current: float, damage: Damage
) -> tuple[float, float] | None:
    """Return (damage per unit saved, minus the saving) of the next step down."""
    step = _step(ladder, widths, cost, current)
    if step is None:
        return None
    narrow, saving = step
    done = damage(ladder, narrow, widths[ladder.name])
    return max(0.0, done) / saving, -saving


def _cheapest_last_step(
    ladders: Sequence[Ladder], widths: Widths, cost: Cost, target: float, damage: Damage
) -> int:
    """Return the ladder whose next step reaches the target with the least damage."""
    current = cost(widths)
    found: list[tuple[float, int]] = []
    for index, ladder in enumerate(ladders):
        stepped = _stepped(ladder, widths, cost, current)
        if stepped != widths and cost(stepped) <= target:
            done = damage(ladder, stepped[ladder.name], widths[ladder.name])
            found.append((done, index))
    return min(found)[1]


def _stepped(ladder: Ladder, widths: Widths, cost: Cost, current: float) -> Widths:
    step = _step(ladder, widths, cost, current)
    return widths if step is None else {**widths, ladder.name: step[0]}


def _push(
    heap: list[tuple[float, float, int]], index: int, price: tuple[float, float] | None
) -> None:
    if price is not None:
        heapq.heappush(heap, (*price, index))


def _push_wider(
    candidates: list[tuple[float, int]],
    index: int,
    ladder: Ladder,
    widths: Widths,
    damage: Damage,
) -> None:
    wider = ladder.next_above(widths[ladder.name])
    if wider is not None:
        regained = damage(ladder, widths[ladder.name], wider)
        heapq.heappush(candidates, (-regained, index))
