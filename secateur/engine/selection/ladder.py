"""What one family may become: its groups in order of saliency and the widths it may have.

Widths go down in steps of ``round_to`` channels, so a block of filters leaves together. Every rule
of this package walks these ladders; limits, exclusions and overrides live here alone.
"""

import bisect
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from secateur.engine.errors import PlanError
from secateur.engine.graph import Family
from secateur.engine.selection.options import LayerOverride, SelectionOptions

_LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class Ladder:
    """The choices of one family.

    Attributes:
        name: The family's name.
        order: Its groups, the least salient first; ties in the order of the groups.
        curve: Their saliencies, ascending.
        widths: How many groups may be kept, descending from all that are there.
        ratio: The share to remove, where an override fixes it.
        is_excluded: Whether the user keeps this family whole.
        num_filters: How many filters make one group: one, or one for each layer that writes into
            a residual stream.
    """

    name: str
    order: tuple[int, ...]
    curve: tuple[float, ...]
    widths: tuple[int, ...]
    ratio: float | None
    is_excluded: bool
    num_filters: int = 1

    @property
    def num_groups(self) -> int:
        """How many groups the family has."""
        return len(self.order)

    @property
    def widest(self) -> int:
        """How many groups may be kept at most: all, or what earlier cuts have left."""
        return self.widths[0]

    def nearest(self, width: float) -> int:
        """Return the allowed width nearest to ``width``, the larger of two."""
        above = bisect.bisect_right(self.widths, -width, key=operator.neg)
        around = self.widths[max(0, above - 1) : above + 1]  # the last not below it, and the next
        return min(around, key=lambda allowed: (abs(allowed - width), -allowed))

    def next_below(self, width: int) -> int | None:
        """Return the next allowed width below ``width``."""
        return next((allowed for allowed in self.widths if allowed < width), None)

    def next_above(self, width: int) -> int | None:
        """Return the next allowed width above ``width``."""
        return next((allowed for allowed in reversed(self.widths) if allowed > width), None)

    def saliency_between(self, narrow: int, wide: int) -> float:
        """Return the saliency of the groups that ``wide`` keeps and ``narrow`` does not."""
        return math.fsum(self.curve[self.num_groups - wide : self.num_groups - narrow])

    def damage_between(self, narrow: int, wide: int) -> float:
        """Return what narrowing from ``wide`` to ``narrow`` costs the network, from 0 to infinity.

        The filters times the logarithm of the saliency that is left of what was there. Saliencies
        alone miss that the same filter is worth more to a narrower layer: a budget met by their
        sum empties the layers whose filters are dearest, down to their limits, before it touches
        others. As a share of what is left, the price of a layer's next filter rises as it narrows,
        whatever the unit of the saliencies.
        """
        scores = [max(0.0, score) for score in self.curve]
        total = math.fsum(scores)
        floor = total * _LEAST_SHARE if total > 0 else 1.0  # a layer of dead filters costs nothing
        left, before = (
            math.fsum(scores[self.num_groups - width :]) + floor for width in (narrow, wide)
        )
        return self.num_filters * math.log(before / left)

    def keep(self, width: int) -> Tensor:
        """Return the mask (num_groups,) that keeps the ``width`` most salient groups."""
        mask = torch.ones(self.num_groups, dtype=torch.bool)
        mask[list(self.order[: self.num_groups - width])] = False
        return mask


def make_ladder(
    family: Family,
    saliency_G: Tensor,
    options: SelectionOptions,
    efficient: Sequence[int] | None = None,
    alive_G: Tensor | None = None,
) -> Ladder:
    """Return the ladder of a family.

    Args:
        family: Whose ladder.
        saliency_G: Its scores.
        options: Limits, overrides, exclusions.
        efficient: The widths worth having, descending; needed for ``round_to: auto``.
        alive_G: Boolean, the groups that earlier cuts have left; None: all.

    Raises:
        PlanError: The saliency does not fit the family or is not finite.
    """
    if saliency_G.shape != (family.num_groups,):
        raise PlanError(f"{family.name} has {family.num_groups} groups, not {saliency_G.shape}")
    if not bool(torch.isfinite(saliency_G).all()):
        raise PlanError(f"the saliency of {family.name} is not finite")
    order = torch.argsort(saliency_G, stable=True)
    if alive_G is not None:  # who is gone comes first, and stays gone
        order = torch.cat([order[~alive_G[order]], order[alive_G[order]]])
    num_alive = family.num_groups if alive_G is None else int(alive_G.sum())
    override = _override(family, options.layers)
    is_excluded = any(_is_matched(family, glob) for glob in options.exclude)
    return Ladder(
        name=family.name,
        order=tuple(order.tolist()),
        curve=tuple(saliency_G[order].tolist()),
        widths=(num_alive,)
        if is_excluded
        else _widths(family, options, override, efficient, num_alive),
        ratio=override.ratio,
        is_excluded=is_excluded,
        num_filters=sum(member.index_GK.shape[1] for member in family.producers()),
    )


def _widths(
    family: Family,
    options: SelectionOptions,
    override: LayerOverride,
    efficient: Sequence[int] | None,
    num_alive: int,
) -> tuple[int, ...]:
    num_groups = family.num_groups
    max_ratio = options.max_ratio if override.max_ratio is None else override.max_ratio
    if override.ratio is not None and override.max_ratio is None:
        max_ratio = max(max_ratio, override.ratio)  # who names a share means it
    channels = options.min_channels if override.min_channels is None else override.min_channels
    per_group = family.producers()[0].index_GK.shape[1]
    # An epsilon: 10 * (1 - 0.9) is 0.9999999999999998.
    lowest = max(1, math.ceil(num_groups * (1 - max_ratio) - 1e-9), math.ceil(channels / per_group))
    if options.round_to == "auto":
        if efficient is None:
            raise PlanError("round_to: auto needs measured latencies")
        return (num_alive, *(w for w in efficient if lowest <= w < num_alive))
    step = options.round_to // math.gcd(options.round_to, per_group)
    if num_groups < step:
        step = 1  # narrower than one block: there is no multiple to keep
    multiples = range((num_alive - 1) // step * step, 0, -step)
    return (num_alive, *(width for width in multiples if width >= lowest))


def _override(family: Family, layers: Mapping[str, LayerOverride]) -> LayerOverride:
    found = LayerOverride()
    for glob, override in layers.items():
        if _is_matched(family, glob):
            given = {k: v for k, v in vars(override).items() if v is not None}
            found = replace(found, **given)
    return found


def _is_matched(family: Family, glob: str) -> bool:
    return any(fnmatchcase(member.tensor, glob) for member in family.producers())
