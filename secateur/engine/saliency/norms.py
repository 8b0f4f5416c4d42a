"""Criteria ``l1`` and ``l2``: the norm of a channel's weights (claim 4 of CN113361702A).

Li et al. 2017, "Pruning Filters for Efficient ConvNets", arXiv:1608.08710. Needs no data.
"""

import torch
from torch import Tensor

from secateur.engine.graph import Analysis, Family, Member
from secateur.engine.program.program import Program, Role
from secateur.engine.saliency.criterion import Criterion
from secateur.engine.saliency.options import (
    CalibrationBatches,
    SaliencyOptions,
    Scope,
    group_scores,
)


def l1(
    program: Program,
    analysis: Analysis,
    batches: CalibrationBatches,
    options: SaliencyOptions,
) -> dict[str, Tensor]:
    """Score a group by the sum of the absolute weights of its filters."""
    del batches
    return _norms(program, analysis, 1, options)


def l2(
    program: Program,
    analysis: Analysis,
    batches: CalibrationBatches,
    options: SaliencyOptions,
) -> dict[str, Tensor]:
    """Score a group by the Euclidean norms of its filters."""
    del batches
    return _norms(program, analysis, 2, options)


def _norms(
    program: Program, analysis: Analysis, order: int, options: SaliencyOptions
) -> dict[str, Tensor]:
    scores = {}
    for family in analysis.families:
        slices = [
            _slice_norms(program.tensors[member.tensor], member, order)
            for member in _scored(program, family, options.scope)
        ]
        scores[family.name] = group_scores(torch.cat(slices, dim=1), options)
    return scores


def _scored(program: Program, family: Family, scope: Scope) -> list[Member]:
    if scope == "filter":
        return list(family.producers())
    return [m for m in family.members if program.roles[m.tensor] is Role.PARAMETER]


def _slice_norms(tensor: Tensor, member: Member, order: int) -> Tensor:
    """Return the norm of every slice along ``member.dim``, (num_groups, K)."""
    rows = tensor.detach().movedim(member.dim, 0).reshape(tensor.shape[member.dim], -1)
    if rows.dtype not in (torch.float32, torch.float64):  # 16-bit sums overflow
        rows = rows.float()
    norms: Tensor = torch.linalg.vector_norm(rows, ord=order, dim=1)
    return norms.double()[member.index_GK]


_SOURCE = "Li et al. 2017, arXiv:1608.08710"
L1 = Criterion("l1", "the L1 norm of its weights", l1, source=_SOURCE)
L2 = Criterion("l2", "the L2 norm of its weights", l2, source=_SOURCE)
