"""Criterion ``geometric_median``: the distance to the other filters of the layer.

A filter near the geometric median of its layer is redundant: the others can replace it.

He et al. 2019, "Filter Pruning via Geometric Median for Deep CNNs Acceleration" (FPGM),
arXiv:1811.00250. Needs no data.
"""

import torch
from torch import Tensor

from secateur.engine.graph import Analysis
from secateur.engine.program.program import Program
from secateur.engine.saliency.criterion import Criterion
from secateur.engine.saliency.options import CalibrationBatches, SaliencyOptions, group_scores


def geometric_median(
    program: Program,
    analysis: Analysis,
    batches: CalibrationBatches,
    options: SaliencyOptions,
) -> dict[str, Tensor]:
    """Score a group by the summed distances of its filters to all filters of the layer."""
    del batches
    scores = {}
    for family in analysis.families:
        slices = []
        for member in family.producers():
            tensor = program.tensors[member.tensor].detach().double()
            filters = tensor.movedim(member.dim, 0).flatten(1)
            distances = torch.cdist(filters, filters).sum(1)
            slices.append(distances[member.index_GK])
        scores[family.name] = group_scores(torch.cat(slices, dim=1), options)
    return scores


GEOMETRIC_MEDIAN = Criterion(
    "geometric_median",
    "its distance to the other filters of the layer",
    geometric_median,
    source="He et al. 2019, arXiv:1811.00250",
)
