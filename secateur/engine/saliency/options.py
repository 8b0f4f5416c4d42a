"""Inputs of every criterion, and the reduction of slice scores to group scores."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from secateur.engine.graph import Family
from secateur.engine.program.chunks import whole_chunks

Reduction = Literal["sum", "mean", "max"]
Normalization = Literal["auto", "none", "mean", "max"]
Scope = Literal["filter", "group"]


@dataclass(frozen=True)
class CalibrationBatch:
    """Inputs of the program, (N, ...) each, and labels (N, ...) if there are any."""

    inputs: tuple[Tensor, ...]
    labels: Tensor | None = None


CalibrationBatches = tuple[CalibrationBatch, ...]


@dataclass(frozen=True)
class SaliencyOptions:
    """How slices are scored and made comparable.

    Attributes:
        reduction: How the slice scores of a group are combined. With ``sum``, a channel written by
            four filters weighs as much as four filters.
        normalization: Divisor of a family's slice scores before reduction, so that layers can be
            ranked against each other. ``mean`` divides by the family's mean slice score: a filter
            is compared with its own layer, whose scale BatchNorm makes arbitrary. ``max`` divides
            by the largest. ``auto`` is ``mean`` for norms and ``none`` for criteria with the same
            unit everywhere, such as ``loss``.
        scope: Slices that norms include: ``filter``, the producing filters (claim 4), or ``group``,
            every trained slice that is removed with them.
        seed: Seed of criteria that draw random numbers.
        on_progress: Called with (done, total) during a long measurement.
    """

    reduction: Reduction = "sum"
    normalization: Normalization = "auto"
    scope: Scope = "filter"
    seed: int = 0
    on_progress: Callable[[int, int], None] | None = field(default=None, compare=False)


def zeros_G(family: Family, device: torch.device) -> Tensor:  # noqa: N802  # shape suffix
    """Return a zero for each group of a family, (num_groups,) in float64, on ``device``."""
    return torch.zeros(family.num_groups, dtype=torch.float64, device=device)


def in_runs(batches: CalibrationBatches, size: int | None) -> CalibrationBatches:
    """Return batches of the one size that a network takes; None: as they are."""
    if size is None or not batches:
        return batches
    if batches[0].labels is None:
        runs = whole_chunks([batch.inputs for batch in batches], size)
        return tuple(CalibrationBatch(run) for run in runs)
    labelled = [(*b.inputs, b.labels) for b in batches if b.labels is not None]
    return tuple(CalibrationBatch(run[:-1], run[-1]) for run in whole_chunks(labelled, size))


def group_scores(
    slices_GS: Tensor, options: SaliencyOptions, auto: Normalization = "mean"
) -> Tensor:
    """Return one float64 score per group, (num_groups,), from the scores of its slices.

    Args:
        slices_GS: Slice scores (num_groups, num_slices) of one family.
        options: Normalisation and reduction.
        auto: Meaning of the normalisation ``auto`` for this criterion.
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
