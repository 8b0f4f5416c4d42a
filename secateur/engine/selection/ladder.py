"""Ladder of a family: its groups in order of saliency, and its allowed widths.

Widths descend in steps of ``round_to`` channels, so filters are removed in blocks. Every selection
rule works on these ladders. Limits, exclusions and overrides are applied here alone.
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
    """The allowed widths of one family.

    Attributes:
        name: Name of the family.
        order: Indices of its groups, least salient first; ties in group order.
        curve: Saliencies in that order. Ascending, unless earlier cuts removed groups.
        widths: Allowed numbers of kept groups, descending from the current number.
        ratio: Share of groups to remove, if an override sets it.
        is_excluded: Whether the user excluded the family from pruning.
        num_filters: Number of filters per group: one, or one for each layer that writes to a
            residual stream.
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
        """Number of groups in the family."""
        return len(self.order)

    @property
    def widest(self) -> int:
        """Largest allowed width: all groups, or those left by earlier cuts."""
        return self.widths[0]

    def nearest(self, width: float) -> int:
        """Return the allowed width nearest to ``width``; ties go to the larger."""
        above = bisect.bisect_right(self.widths, -width, key=operator.neg)
        around = self.widths[
            max(0, above - 1) : above + 1
        ]  # the narrowest width >= `width`, and the next narrower
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
        """Return the damage of narrowing from ``wide`` to ``narrow``, in [0, infinity).

        The damage is ``num_filters * log(saliency before / saliency left)``. A plain sum of
        saliencies ignores that the same filter is worth more in a narrower layer: a budget would
        drain the layers with the best sum per cost down to their limits before it touches others.
        With the logarithm, the damage of a layer's next filter rises as the layer narrows,
        whatever the unit of the saliencies.
        """
        scores = [max(0.0, score) for score in self.curve]
        total = math.fsum(scores)
        floor = total * _LEAST_SHARE if total > 0 else 1.0  # a layer of dead filters has no damage
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
        family: The family.
        saliency_G: Scores of its groups, (num_groups,).
        options: Limits, overrides and exclusions.
        efficient: Efficient widths, descending; required for ``round_to: auto``.
        alive_G: Boolean mask of the groups left by earlier cuts; None: all.

    Raises:
        PlanError: The saliency does not fit the family or is not finite.
    """
    if saliency_G.shape != (family.num_groups,):
        raise PlanError(f"{family.name} has {family.num_groups} groups, not {saliency_G.shape}")
    if not bool(torch.isfinite(saliency_G).all()):
        raise PlanError(f"the saliency of {family.name} is not finite")
    order = torch.argsort(saliency_G, stable=True)
    if alive_G is not None:  # removed groups come first, so they stay removed
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
        max_ratio = max(max_ratio, override.ratio)  # an explicit ratio overrides the general limit
    channels = options.min_channels if override.min_channels is None else override.min_channels
    per_group = family.producers()[0].index_GK.shape[1]
    # The epsilon absorbs rounding: 10 * (1 - 0.9) is 0.9999999999999998.
    lowest = max(1, math.ceil(num_groups * (1 - max_ratio) - 1e-9), math.ceil(channels / per_group))
    if options.round_to == "auto":
        if efficient is None:
            raise PlanError("round_to: auto needs measured latencies")
        return (num_alive, *(w for w in efficient if lowest <= w < num_alive))
    step = options.round_to // math.gcd(options.round_to, per_group)
    if num_groups < step:
        step = 1  # narrower than one block: no multiple fits
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
