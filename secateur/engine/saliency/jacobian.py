"""Criterion ``jacobian``: the squared change of the outputs along each of a group's tensors.

For every tensor m of a group, with weights w and gradients g of its slices, and every chunk of
samples::

    S = sum over m, sum over chunks of (w · g)²

Interactions within a tensor count, those between tensors do not. Chen et al. 2025, "Optimal Brain
Connection: Towards Efficient Structural Pruning", arXiv:2508.05521. With labels g is the gradient
of the cross-entropy. Without labels it is that of a random projection of the outputs, each divided
by its root mean square; the expected square is then the squared change of the outputs themselves.
"""

from typing import Any

import torch
from torch import Tensor

from secateur.engine.graph import Analysis, Family
from secateur.engine.objectives.cross_entropy import cross_entropy
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program, Role
from secateur.engine.saliency.criterion import Criterion, has_labels
from secateur.engine.saliency.options import (
    CalibrationBatches,
    SaliencyOptions,
    group_scores,
    zeros_G,
)
from secateur.engine.samples import to_device

_CHUNK_SAMPLES = 16  # as for `taylor`
_LEAST = 1e-30


def jacobian(
    program: Program,
    analysis: Analysis,
    batches: CalibrationBatches,
    options: SaliencyOptions,
) -> dict[str, Tensor]:
    """Score a group by its squared change, summed over its tensors and averaged over chunks."""
    module = ProgramModule(program).eval()
    totals = {f.name: zeros_G(f, program.device) for f in analysis.families}
    generator = torch.Generator().manual_seed(options.seed)
    is_labelled, num_chunks = has_labels(batches), 0
    for batch in batches:
        labels = batch.labels.split(_CHUNK_SAMPLES) if batch.labels is not None else ()
        chunks = zip(*(each.split(_CHUNK_SAMPLES) for each in batch.inputs), strict=True)
        for number, x in enumerate(chunks):
            module.zero_grad()
            outputs = module.run(x)
            if is_labelled:
                loss = cross_entropy(outputs[0].float(), labels[number])
            else:
                loss = _projection(outputs, generator)
            if loss.requires_grad:  # otherwise no weight changes a floating-point output
                loss.backward()
            for family in analysis.families:
                totals[family.name] += _squares(module, program, family)
            num_chunks += 1
    return {
        name: group_scores((total_G / num_chunks)[:, None], options, auto="none")
        for name, total_G in totals.items()
    }


def _projection(outputs: list[Any], generator: torch.Generator) -> Tensor:
    """Return the mean over samples of a random projection of the outputs."""
    total = torch.zeros(())
    for output in outputs:
        if isinstance(output, Tensor) and output.is_floating_point():
            drawn = torch.randn(output.shape, generator=generator)  # the same on every device
            direction = to_device(drawn, output.device)
            size = output.detach().float().square().mean().sqrt().clamp_min(_LEAST)
            total = total + (output.float() / size * direction).sum() / len(output)
    return total


def _squares(module: ProgramModule, program: Program, family: Family) -> Tensor:
    """Return (weight · gradient)² of every group, summed over the family's trained tensors."""
    squares_G = zeros_G(family, program.device)
    for member in family.members:
        weight = module.tensor(member.tensor)
        if program.roles[member.tensor] is not Role.PARAMETER or weight.grad is None:
            continue
        product = (weight.detach().double() * weight.grad.double()).movedim(member.dim, 0)
        squares_G += product.reshape(len(product), -1).sum(1)[member.index_GK].sum(1).square()
    return squares_G


JACOBIAN = Criterion(
    "jacobian",
    "the squared change of the outputs along its weights",
    jacobian,
    needs="samples",
    cost="one backward pass over `num_samples`",
    source="Chen et al. 2025, arXiv:2508.05521",
)
