"""Agreement of each criterion's ranking with the exact `loss` criterion, by Spearman's rho.

Spearman 1904, "The proof and measurement of association between two things". Ranks are compared
within a family, as selection does, and averaged over families weighted by size.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from secateur.engine.graph import Analysis
from secateur.engine.program.program import Program
from secateur.engine.saliency.criteria import CRITERIA
from secateur.engine.saliency.criterion import has_labels
from secateur.engine.saliency.loss import LOSS
from secateur.engine.saliency.options import CalibrationBatches, SaliencyOptions


def agreement_with_loss(
    program: Program,
    analysis: Analysis,
    batches: CalibrationBatches,
    options: SaliencyOptions,
) -> dict[str, float]:
    """Return the mean rank correlation with `loss` of every cheap criterion, in [-1, 1].

    Without labels, criteria that need them are left out. Families with a single group are ignored.

    Raises:
        DataError: There are no calibration samples, or the loss is not finite.
    """
    exact = LOSS(program, analysis, batches, options)
    is_labelled = has_labels(batches)
    return {
        name: mean_spearman(criterion(program, analysis, batches, options), exact)
        for name, criterion in sorted(CRITERIA.items())
        if criterion.is_cheap and (is_labelled or criterion.needs != "classes")
    }


def mean_spearman(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """Return the rank correlation within families, averaged weighted by their number of groups."""
    total = weight = 0.0
    for name, scores_G in a.items():
        if len(scores_G) > 1:
            total += len(scores_G) * spearman(scores_G, b[name])
            weight += len(scores_G)
    return total / weight if weight else 0.0


def spearman(a_G: Tensor, b_G: Tensor) -> float:
    """Return Spearman's rho of two score vectors (num_groups,); 0 if either is constant."""
    x, y = (_ranks(scores) - (len(scores) - 1) / 2 for scores in (a_G, b_G))
    norm = float(x.norm() * y.norm())
    return float(x @ y) / norm if norm > 0 else 0.0


def _ranks(scores_G: Tensor) -> Tensor:
    """Return ranks from 0; equal scores share their mean rank."""
    _, inverse, counts = torch.unique(scores_G.double(), return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double() - 1
    ranks: Tensor = (last - (counts.double() - 1) / 2)[inverse]
    return ranks
