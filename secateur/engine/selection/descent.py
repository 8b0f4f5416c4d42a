"""Walk all ladders down together until a target is met, at the least damage.

Greedy by damage per unit saved, with exact costs: one more step is always the one that pays most.
Used by `budget` (units are MACs, parameters, seconds), where damage is what narrowing does to a
layer, and by `ratio` over the network (groups), where it is the plain saliency of what goes.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence

from secateur.engine.selection.ladder import Ladder

Widths = dict[str, int]
Cost = Callable[[Mapping[str, int]], float]
Damage = Callable[[Ladder, int, int], float]  # of narrowing a ladder to the first from the second


def descend(
    ladders: Sequence[Ladder],
    widths: Widths,
    cost: Cost,
    target: float,
    damage: Damage = Ladder.damage_between,
) -> Widths:
    """Return widths whose cost is at most ``target``, or the narrowest if none is.

    No single step of the result can be taken back without missing the target.

    Args:
        ladders: The families that may narrow.
        widths: Where every family stands; families without a ladder here stay so.
        cost: The cost of given widths. MACs, parameters and groups fall with every step, and a
            step saves less the narrower its neighbours are; of a staircase such as latency, steps
            that save nothing are taken together with the next one that does.
        target: The cost to reach.
        damage: What a step does to the network.
    """
    narrow = _narrow(ladders, dict(widths), cost, target, damage)
    return _give_back(ladders, narrow, cost, target, damage)


def _narrow(
    ladders: Sequence[Ladder], widths: Widths, cost: Cost, target: float, damage: Damage
) -> Widths:
    current = cost(widths)
    heap: list[tuple[float, float, int]] = []
    for index, ladder in enumerate(ladders):
        _push(heap, index, _price(ladder, widths, cost, current, damage))
    # Savings only shrink as neighbours narrow, so a price in the heap is at most the true one: the
    # cheapest needs a fresh price, and is the best step if it still is the cheapest.
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


def _give_back(
    ladders: Sequence[Ladder], widths: Widths, cost: Cost, target: float, damage: Damage
) -> Widths:
    """Return widths with every step taken back that the target does not need, dearest first."""
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
        if cost(trial) <= target:  # if not, it never will: giving back only costs more
            widths = trial
            _push_wider(candidates, index, ladder, widths, damage)
    return widths


def _step(ladder: Ladder, widths: Widths, cost: Cost, current: float) -> tuple[int, float] | None:
    """Return the first width below that saves anything, and what it saves."""
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
