"""How well criteria rank filters, judged by the exact loss of removing each: Spearman's rho.

Spearman 1904, "The proof and measurement of association between two things". Ranks are compared
within a family, where selection compares them, and averaged over families by their size.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from secateur.engine.graph import Analysis
from secateur.engine.program.program import Program
from secateur.engine.saliency.batch_norm_scale import bn_scale
from secateur.engine.saliency.geometric_median import geometric_median
from secateur.engine.saliency.lamp import lamp
from secateur.engine.saliency.loss import loss
from secateur.engine.saliency.norms import l1, l2
from secateur.engine.saliency.options import CalibrationBatches, Criterion, SaliencyOptions
from secateur.engine.saliency.random_scores import random
from secateur.engine.saliency.taylor import taylor

_CHEAP: Mapping[str, Criterion] = {
    "l1": l1,
    "l2": l2,
    "bn_scale": bn_scale,
    "geometric_median": geometric_median,
    "lamp": lamp,
    "random": random,
}


def agreement_with_loss(
    program: Program,
    analysis: Analysis,
    batches: CalibrationBatches,
    options: SaliencyOptions,
) -> dict[str, float]:
    """Return for every other criterion its mean rank correlation with `loss`, in [-1, 1].

    ``taylor`` is left out where there are no labels. Families of one group say nothing.

    Raises:
        DataError: There are no samples, or the loss is not finite.
    """
    exact = loss(program, analysis, batches, options)
    criteria = dict(_CHEAP)
    if all(batch.labels is not None for batch in batches):
        criteria["taylor"] = taylor
    return {
        name: mean_spearman(criterion(program, analysis, batches, options), exact)
        for name, criterion in sorted(criteria.items())
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
