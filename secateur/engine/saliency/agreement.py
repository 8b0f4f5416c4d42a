"""How well criteria rank filters, judged by the exact loss of removing each: Spearman's rho.

Spearman 1904, "The proof and measurement of association between two things". Ranks are compared
within a family, where selection compares them, and averaged over families by their size.
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
    """Return for every cheap criterion its mean rank correlation with `loss`, in [-1, 1].

    Where there are no labels, criteria that need them are left out. Families of one group say
    nothing.

    Raises:
        DataError: There are no samples, or the loss is not finite.
    """
    exact = LOSS(program, analysis, batches, options)
    is_labelled = has_labels(batches)
    return {
        name: mean_spearman(criterion(program, analysis, batches, options), exact)
        for name, criterion in sorted(CRITERIA.items())
        if criterion.is_cheap and (is_labelled or criterion.needs != "classes")
    }


def mean_spearman(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """Return the correlation of ranks within families, averaged by their numbers of groups."""
    total = weight = 0.0
    for name, scores_G in a.items():
        if len(scores_G) > 1:
            total += len(scores_G) * spearman(scores_G, b[name])
            weight += len(scores_G)
    return total / weight if weight else 0.0


def spearman(a_G: Tensor, b_G: Tensor) -> float:
    """Return Spearman's rho of two score vectors (num_groups,); 0 where one is constant."""
    x, y = (_ranks(scores) - (len(scores) - 1) / 2 for scores in (a_G, b_G))
    norm = float(x.norm() * y.norm())
    return float(x @ y) / norm if norm > 0 else 0.0


def _ranks(scores_G: Tensor) -> Tensor:
    """Return ranks from 0; equal scores share the mean of theirs."""
    _, inverse, counts = torch.unique(scores_G.double(), return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double() - 1
    ranks: Tensor = (last - (counts.double() - 1) / 2)[inverse]
    return ranks
