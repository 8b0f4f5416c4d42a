"""Summary of a plan by layer, small enough for an event and for a chart.

The report has every saliency. Here a layer's curve is thinned to a few dozen points, always
including its ends and both sides of its cut. The summary of a network with a hundred layers takes
about 60 kB.
"""

import math
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field

_POINTS_IN_ALL = 4096
_MOST_POINTS, _FEWEST_POINTS = 64, 12  # per layer
_DECILE = 0.9  # the steepness rule scales a curve by its ninth decile, so that point is kept
_DIGITS = 5


class LayerSummary(BaseModel):
    """One family of channel groups, whose members are kept or removed together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    num_groups: int = Field(description="Width before pruning.")
    num_kept: int = Field(description="Width after pruning.")
    num_wanted: int = Field(description="Channels that the rule would remove, before limits.")
    threshold: float | None = Field(description="Least saliency that is kept.")
    reason: str
    curve: tuple[tuple[int, float], ...] = Field(
        description="Thinned saliency curve: (position from 0, saliency), ascending."
    )


class PlanSummary(BaseModel):
    """Summary of a plan; layers are in the order of the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    criterion: str = Field(description="Criterion that scored the filters.")
    layers: tuple[LayerSummary, ...]


def points_a_layer(num_layers: int) -> int:
    """Return the number of points for each curve."""
    return max(_FEWEST_POINTS, min(_MOST_POINTS, _POINTS_IN_ALL // max(1, num_layers)))


def thin(
    saliency: Sequence[float], marks: Iterable[int], num_points: int
) -> tuple[tuple[int, float], ...]:
    """Return evenly spaced points of a curve, plus its ends, its ninth decile and ``marks``."""
    last = len(saliency) - 1
    if last < 0:
        return ()
    even = {round(last * k / max(1, num_points - 1)) for k in range(num_points)}
    kept = even | {0, last, math.ceil(_DECILE * last)} | {m for m in marks if 0 <= m <= last}
    return tuple((k, float(f"{saliency[k]:.{_DIGITS}g}")) for k in sorted(kept))
