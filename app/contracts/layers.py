"""What a plan does to each layer, small enough to travel in an event and to be drawn.

The report has every saliency. Here a layer's curve is thinned to a few dozen points, which always
hold its ends and both sides of its cut, so that a network of a hundred layers takes some 60 kB.
"""

import math
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field

_POINTS_IN_ALL = 4096
_MOST_POINTS, _FEWEST_POINTS = 64, 12  # of one layer
_DECILE = 0.9  # the steepness rule scales a curve by its ninth decile, so that is kept too
_DIGITS = 5


class LayerSummary(BaseModel):
    """One family of channels that are kept or removed together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    num_groups: int = Field(description="Its width before pruning.")
    num_kept: int = Field(description="Its width after pruning.")
    num_wanted: int = Field(description="How many the rule would remove, before limits.")
    threshold: float | None = Field(description="The least saliency that is kept.")
    reason: str
    curve: tuple[tuple[int, float], ...] = Field(
        description="(position from 0, saliency), saliencies ascending: the curve, thinned."
    )


class PlanSummary(BaseModel):
    """A plan, layer by layer, in the order of the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    criterion: str = Field(description="What scored the filters.")
    layers: tuple[LayerSummary, ...]


def points_a_layer(num_layers: int) -> int:
    """Return how many points each curve may have."""
    return max(_FEWEST_POINTS, min(_MOST_POINTS, _POINTS_IN_ALL // max(1, num_layers)))


def thin(
    saliency: Sequence[float], marks: Iterable[int], num_points: int
) -> tuple[tuple[int, float], ...]:
    """Return evenly spaced points of a curve, besides its ends, its ninth decile and ``marks``."""
    last = len(saliency) - 1
    if last < 0:
        return ()
    even = {round(last * k / max(1, num_points - 1)) for k in range(num_points)}
    kept = even | {0, last, math.ceil(_DECILE * last)} | {m for m in marks if 0 <= m <= last}
    return tuple((k, float(f"{saliency[k]:.{_DIGITS}g}")) for k in sorted(kept))
