"""What every criterion is given, and the two steps by which slice scores become group scores."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

Reduction = Literal["sum", "mean", "max"]
Normalization = Literal["auto", "none", "mean", "max"]
Scope = Literal["filter", "group"]


@dataclass(frozen=True)
class CalibrationBatch:
    """Inputs of the program, and labels where there are any."""

    inputs: tuple[Tensor, ...]
    labels: Tensor | None = None


CalibrationBatches = tuple[CalibrationBatch, ...]


@dataclass(frozen=True)
class SaliencyOptions:
    """How slices are scored and made comparable.

    Attributes:
        reduction: How the slices of a group make one score. ``sum``: a channel that four filters
            write is worth four filters.
        normalization: By what the slices of a family are divided before they are reduced, so that
            layers can be ranked against each other. ``mean``: by the family's mean slice; a filter
            then counts by how it compares to its own layer, whatever the layer's scale (BatchNorm
            makes that scale arbitrary). ``max``: by its largest. ``auto``: ``mean`` for norms,
            ``none`` for criteria that are in one unit everywhere, such as ``loss``.
        scope: Which slices count for norms: ``filter``, the producing filters (claim 4), or
            ``group``, every trained slice that would go with them.
        seed: For criteria that draw.
        on_progress: Told how much of a long measurement is done, as (done, total).
    """

    reduction: Reduction = "sum"
    normalization: Normalization = "auto"
    scope: Scope = "filter"
    seed: int = 0
    on_progress: Callable[[int, int], None] | None = field(default=None, compare=False)


def group_scores(
    slices_GS: Tensor, options: SaliencyOptions, auto: Normalization = "mean"
) -> Tensor:
    """Return one float64 score a group from the scores of its slices.

    Args:
        slices_GS: A row for each group of a family, a column for each of its slices.
        options: Normalisation and reduction.
        auto: What the normalisation ``auto`` means for this criterion.
    """
    scores_GS = slices_GS.double()
    normalization = auto if options.normalization == "auto" else options.normalization
    if normalization != "none":
        magnitude = scores_GS.abs()
        unit = float(magnitude.mean() if normalization == "mean" else magnitude.max())
        scores_GS = scores_GS / unit if unit > 0 else scores_GS
    if options.reduction == "sum":
        return scores_GS.sum(1)
    return scores_GS.mean(1) if options.reduction == "mean" else scores_GS.amax(1)
