"""Criterion ``lamp``: the squared norm over the sum of all squared norms at least as large.

Lee et al. 2021, "Layer-adaptive Sparsity for the Magnitude-based Pruning" (LAMP),
arXiv:2010.07611, applied to filters instead of single weights. The largest filter of every layer
scores 1, so a global ranking never empties a layer. Needs no data.
"""

import torch
from torch import Tensor

from secateur.engine.graph import Analysis
from secateur.engine.program.program import Program
from secateur.engine.saliency.criterion import Criterion
from secateur.engine.saliency.options import (
    CalibrationBatches,
    SaliencyOptions,
    group_scores,
    zeros_G,
)


def lamp(
    program: Program,
    analysis: Analysis,
    batches: CalibrationBatches,
    options: SaliencyOptions,
) -> dict[str, Tensor]:
    """Score a group by its squared norm over the sum of the squared norms that are not smaller."""
    del batches
    scores = {}
    for family in analysis.families:
        squares_G = zeros_G(family, program.device)
        for member in family.producers():
            tensor = program.tensors[member.tensor].detach().double()
            filters = tensor.movedim(member.dim, 0).flatten(1)
            squares_G += filters.square().sum(1)[member.index_GK].sum(1)
        scores[family.name] = group_scores(_shares(squares_G)[:, None], options, auto="none")
    return scores


def _shares(squares_G: Tensor) -> Tensor:
    order = torch.argsort(squares_G, stable=True)
    ascending = squares_G[order]
    rest = ascending.flip(0).cumsum(0).flip(0)  # sum from this score to the largest
    shares = torch.empty_like(squares_G)
    shares[order] = torch.where(rest > 0, ascending / rest.clamp_min(1e-300), ascending)
    return shares


LAMP = Criterion(
    "lamp", "its share of the layer's norm", lamp, source="Lee et al. 2021, arXiv:2010.07611"
)
