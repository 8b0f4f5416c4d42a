"""Criterion ``bn_scale``: the magnitude of the channel's BatchNorm scale.

Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming",
arXiv:1708.06519. Needs no data. Works best on networks trained with an L1 penalty on the scales.
"""

import torch
from torch import Tensor, fx

from secateur.engine.graph import Analysis
from secateur.engine.program.functional import op_name
from secateur.engine.program.program import Program
from secateur.engine.saliency.criterion import Criterion
from secateur.engine.saliency.options import CalibrationBatches, SaliencyOptions, group_scores

_SCALE = 1  # the position of the scale among batch_norm's arguments


def bn_scale(
    program: Program,
    analysis: Analysis,
    batches: CalibrationBatches,
    options: SaliencyOptions,
) -> dict[str, Tensor]:
    """Score a group by the BatchNorm scales of its channels.

    All groups of a family without BatchNorm get the largest score in the network, so they are
    pruned last.
    """
    del batches
    scales = _scales(program)
    scores: dict[str, Tensor] = {}
    for family in analysis.families:
        slices = [
            program.tensors[m.tensor].detach().double().abs()[m.index_GK]
            for m in family.members
            if m.tensor in scales
        ]
        if slices:
            scores[family.name] = group_scores(torch.cat(slices, dim=1), options, auto="none")
    highest = max((float(s_G.max()) for s_G in scores.values()), default=1.0)
    return {
        f.name: scores.get(f.name, torch.full((f.num_groups,), highest, dtype=torch.float64))
        for f in analysis.families
    }


def _scales(program: Program) -> set[str]:
    """Return the names of all BatchNorm scales."""
    found = set()
    for node in program.graph.nodes:
        if node.op == "call_function" and op_name(node.target) == "batch_norm":
            scale = node.args[_SCALE]
            if isinstance(scale, fx.Node) and scale.op == "get_attr":
                found.add(str(scale.target))
    return found


BN_SCALE = Criterion(
    "bn_scale", "BatchNorm's scale", bn_scale, source="Liu et al. 2017, arXiv:1708.06519"
)
