"""Choose the groups that each family keeps, and record the numbers behind the choice.

Reads scores and returns masks; the network's tensors are not touched. The pipeline passes the
result to `plan.make_plan`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from secateur.engine.errors import NothingPrunableError, PlanError
from secateur.engine.graph import Analysis
from secateur.engine.graph.cost import CostModel
from secateur.engine.selection.descent import Cost, Widths, descend
from secateur.engine.selection.ladder import Ladder, make_ladder
from secateur.engine.selection.options import Budget, Ratio, SelectionOptions, Steepness
from secateur.engine.selection.steepness import cut


class Latency(Protocol):
    """Latency of a program on the target; implemented by `latency.LatencyModel`."""

    @property
    def dense_seconds(self) -> float:
        """Seconds of one call of the dense network, in its own precision."""
        ...

    def seconds_by_width(self, orders: Mapping[str, Sequence[int]]) -> Cost:
        """Return the seconds of one call by widths; ``orders`` as in `CostModel.macs_by_width`."""
        ...

    def efficient_widths(self, name: str) -> Sequence[int]:
        """Return the efficient widths of a family, descending."""
        ...


@dataclass(frozen=True)
class Selection:
    """The groups to keep.

    Attributes:
        keeps: Boolean mask of every family, (num_groups,), True = keep.
        details: JSON values of every family: ``curve`` (saliencies, ascending), ``num_wanted``
            (groups that the rule would remove), ``num_removed`` (groups removed after limits and
            rounding: the position of the cut), ``threshold`` (lowest saliency kept, None if nothing
            is removed) and ``reason``.
    """

    keeps: dict[str, Tensor]
    details: dict[str, dict[str, Any]]

    @property
    def num_removed(self) -> int:
        """Number of groups removed."""
        return sum(int((~keep).sum()) for keep in self.keeps.values())


@dataclass(frozen=True)
class _Choice:
    """A width, the number of groups that the rule would remove before rounding, and the reason."""

    width: int
    num_wanted: int
    reason: str


def select(
    analysis: Analysis,
    saliency: Mapping[str, Tensor],
    options: SelectionOptions,
    cost: CostModel,
    latency: Latency | None = None,
    alive: Mapping[str, Tensor] | None = None,
) -> Selection:
    """Choose the groups to keep. Deterministic: ties are broken by group order.

    Args:
        analysis: The channel groups.
        saliency: Scores of each family, (num_groups,), comparable between families.
        options: The rule and its limits.
        cost: Cost of the program by widths.
        latency: Latency of the program; required for a latency budget and for ``round_to: auto``.
        alive: Groups of each family left by earlier cuts, boolean (num_groups,); removed groups
            stay removed. None: all groups are left.

    Raises:
        NothingPrunableError: No family can lose a group under these options.
        PlanError: The saliency does not fit, or the budget cannot be met.
    """
    ladders = []
    for family in analysis.families:
        is_auto = options.round_to == "auto" and latency is not None
        efficient = latency.efficient_widths(family.name) if latency and is_auto else None
        there = alive[family.name] if alive is not None else None
        ladders.append(make_ladder(family, saliency[family.name], options, efficient, there))
    if all(len(ladder.widths) == 1 for ladder in ladders):
        raise NothingPrunableError(
            "no filter can be removed: every channel is frozen, excluded or within the limits "
            f"(max_ratio {options.max_ratio:g}, min_channels {options.min_channels}, "
            f"round_to {options.round_to})",
            hint="Raise max_ratio, or lower min_channels or round_to; the model's report says what "
            "is frozen and why.",
        )
    choices = _choose(ladders, options, cost, latency)
    return Selection(
        keeps={ladder.name: ladder.keep(choices[ladder.name].width) for ladder in ladders},
        details={ladder.name: _detail(ladder, choices[ladder.name]) for ladder in ladders},
    )


def _choose(
    ladders: Sequence[Ladder],
    options: SelectionOptions,
    cost: CostModel,
    latency: Latency | None,
) -> dict[str, _Choice]:
    chosen: dict[str, _Choice] = {}
    for ladder in ladders:
        if ladder.is_excluded:
            chosen[ladder.name] = _Choice(ladder.widest, 0, "excluded")
        elif ladder.ratio is not None:
            chosen[ladder.name] = _by_ratio(ladder, ladder.ratio, "this layer's own ratio")
    free = [ladder for ladder in ladders if ladder.name not in chosen]
    mode = options.mode
    if isinstance(mode, Steepness):
        return chosen | {ladder.name: _by_steepness(ladder, mode) for ladder in free}
    if isinstance(mode, Budget):
        orders = {ladder.name: ladder.order for ladder in ladders}
        measure = _measure(mode, orders, cost, latency)
        is_latency = mode.unit == "latency" and latency is not None
        dense = latency.dense_seconds if latency and is_latency else measure({})
        return chosen | _by_budget(free, chosen, mode, measure, dense)
    if mode.scope == "layer":
        return chosen | {ladder.name: _by_ratio(ladder, mode.ratio, "ratio") for ladder in free}
    return chosen | _by_global_ratio(free, mode)


def _by_steepness(ladder: Ladder, mode: Steepness) -> _Choice:
    found = cut(ladder.curve, mode.steepness)
    width = ladder.nearest(ladder.num_groups - found.num_removed)
    return _Choice(width, found.num_removed, found.reason)


def _by_ratio(ladder: Ladder, ratio: float, name: str) -> _Choice:
    wanted = ratio * ladder.num_groups
    width = ladder.nearest(ladder.num_groups - wanted)
    return _Choice(width, round(wanted), f"{name} {ratio:g}")


def _by_global_ratio(free: Sequence[Ladder], mode: Ratio) -> dict[str, _Choice]:
    start = {ladder.name: ladder.widest for ladder in free}
    target = (1 - mode.ratio) * sum(ladder.num_groups for ladder in free)
    count = lambda w: sum(w.values())  # noqa: E731
    widths = descend(free, start, count, target, Ladder.saliency_between)
    return _choices(free, widths, f"among the least salient {mode.ratio:g} of the network")


def _by_budget(
    free: Sequence[Ladder],
    chosen: Mapping[str, _Choice],
    mode: Budget,
    measure: Cost,
    dense: float,
) -> dict[str, _Choice]:
    target = mode.share * dense
    start = {ladder.name: ladder.widest for ladder in free}
    start |= {name: choice.width for name, choice in chosen.items()}
    widths = descend(free, start, measure, target)
    if (reached := measure(widths)) > target:
        nearest = reached / dense if dense > 0 else 1.0
        least = math.ceil(nearest * 1000) / 1000
        raise PlanError(
            f"a budget of {mode.share:g} of the {mode.unit} cannot be met: with every layer at its "
            f"narrowest {nearest:.4f} is left",
            hint=f"Ask for {least:g} of the {mode.unit} or more; or lower min_channels or "
            "round_to, raise max_ratio, or exclude less.",
        )
    return _choices(free, widths, f"least damage for the {mode.unit} saved")


def _measure(
    mode: Budget,
    orders: Mapping[str, Sequence[int]],
    cost: CostModel,
    latency: Latency | None,
) -> Cost:
    if mode.unit != "latency":
        by_width = cost.macs_by_width if mode.unit == "macs" else cost.params_by_width
        return by_width(orders)
    if latency is None:
        raise PlanError("a latency budget needs measured latencies")
    return latency.seconds_by_width(orders)


def _choices(free: Sequence[Ladder], widths: Widths, reason: str) -> dict[str, _Choice]:
    return {
        ladder.name: _Choice(widths[ladder.name], ladder.num_groups - widths[ladder.name], reason)
        for ladder in free
    }


def _detail(ladder: Ladder, choice: _Choice) -> dict[str, Any]:
    num_removed = ladder.num_groups - choice.width
    reason = choice.reason
    if num_removed != choice.num_wanted:
        reason += f"; {num_removed} instead of {choice.num_wanted} by the limits and multiples"
    return {
        "curve": list(ladder.curve),
        "num_wanted": choice.num_wanted,
        "num_removed": num_removed,
        "threshold": ladder.curve[num_removed] if num_removed else None,
        "reason": reason,
    }
