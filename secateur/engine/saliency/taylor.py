"""Criterion ``taylor``: a first-order estimate of the loss without the channel.

Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", arXiv:1906.10771.
Removing a group is the same as zeroing the input slices that read it, so the estimate is the sum of
weight times gradient over those slices. This holds behind BatchNorm and residual sums, unlike
weight times gradient of the filter itself. One backward pass covers all groups.
"""

from torch import Tensor

from secateur.engine.graph import Analysis, Family, MemberRole
from secateur.engine.objectives.cross_entropy import cross_entropy
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.saliency.criterion import Criterion
from secateur.engine.saliency.options import (
    CalibrationBatch,
    CalibrationBatches,
    SaliencyOptions,
    group_scores,
    zeros_G,
)

# Gradients of opposite sign cancel within a chunk; magnitudes are summed across chunks.
_CHUNK_SAMPLES = 16


def taylor(
    program: Program,
    analysis: Analysis,
    batches: CalibrationBatches,
    options: SaliencyOptions,
) -> dict[str, Tensor]:
    """Score a group by the magnitude of the estimated loss change, averaged over chunks."""
    module = ProgramModule(program).eval()
    totals = {f.name: zeros_G(f, program.device) for f in analysis.families}
    num_chunks = 0
    for batch in batches:
        for chunk in _chunks(batch):
            module.zero_grad()
            loss = cross_entropy(module.run(chunk.inputs)[0].float(), chunk.labels)
            loss.backward()
            for family in analysis.families:
                totals[family.name] += _change(module, family).abs()
            num_chunks += 1
    return {
        name: group_scores((total_G / num_chunks)[:, None], options, auto="none")
        for name, total_G in totals.items()
    }


def _chunks(batch: CalibrationBatch) -> list[CalibrationBatch]:
    assert batch.labels is not None  # noqa: S101  # `Criterion.__call__` has checked
    inputs = zip(*(x.split(_CHUNK_SAMPLES) for x in batch.inputs), strict=True)
    labels = batch.labels.split(_CHUNK_SAMPLES)
    return [CalibrationBatch(x, y) for x, y in zip(inputs, labels, strict=True)]


def _change(module: ProgramModule, family: Family) -> Tensor:
    """Return weight times gradient summed over every group's input slices, (num_groups,)."""
    change_G = zeros_G(family, module.device)
    for member in family.members:
        weight = module.tensor(member.tensor)
        if member.role is not MemberRole.CONSUMER or weight.grad is None:
            continue
        product = (weight.detach().double() * weight.grad.double()).movedim(member.dim, 0)
        change_G += product.flatten(1).sum(1)[member.index_GK].sum(1)
    return change_G


TAYLOR = Criterion(
    "taylor",
    "a first-order estimate of the loss without it",
    taylor,
    needs="classes",
    cost="one backward pass over `num_samples`",
    source="Molchanov et al. 2019, arXiv:1906.10771",
)
