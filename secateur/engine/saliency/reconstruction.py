"""Criterion ``reconstruction``: what the readers of a channel lose if the others stand in for it.

Repair refits the weights that read a channel, so a channel that the kept ones predict is worth
nothing. For a reader with weights W and inputs whose Gram matrix is G, the error that remains when
it reads only the channels P is, with ``B = G[:, P] G[P, P]⁻¹``::

    tr(W (G - B G[P, :]) Wᵀ)

summed over a group's readers, each as a share of the energy of its outputs. Within a family, groups
are eliminated greedily: the next one adds the least error, given those that are gone. The inverse
of G is computed once. Each elimination is a Schur complement of it, which also moves the weights of
the eliminated group to the others (Hassibi and Stork 1992, "Optimal Brain Surgeon"). The score of a
group is the error it adds.

The map of channels is that of He, Zhang and Sun 2017, "Channel Pruning for Accelerating Very Deep
Neural Networks", arXiv:1707.06168. Kernel taps and flattened positions share the Gram matrix of
their channels. Needs samples, but no labels and no gradients.
"""

import torch
from torch import Tensor

from secateur.engine.graph import Analysis, Family, Member
from secateur.engine.program.program import Program
from secateur.engine.saliency.criterion import Criterion
from secateur.engine.saliency.options import (
    CalibrationBatches,
    SaliencyOptions,
    group_scores,
    zeros_G,
)
from secateur.engine.saliency.readings import find_readings, measure_grams

_RIDGE = 1e-3  # as in repair
_LEAST = 1e-30
_BLOCK = 64  # steps of the elimination


def reconstruction(
    program: Program,
    analysis: Analysis,
    batches: CalibrationBatches,
    options: SaliencyOptions,
) -> dict[str, Tensor]:
    """Score a group by the error it adds when the family's groups are eliminated greedily.

    Families that no stored weight reads are scored by their share of the filters' energy.
    """
    readings = find_readings(program, analysis)
    grams = measure_grams(program, readings, batches, options.seed)
    scores = {}
    for family in analysis.families:
        found = [
            (_products(program, reading.member), gram)
            for reading, gram in zip(readings, grams, strict=True)
            if reading.family == family.name and bool(gram.isfinite().all())
        ]
        found = [(products, gram) for products, gram in found if float(gram.trace()) > 0]
        if found:
            # Small matrices, and a choice that is read after every step: on the CPU.
            errors_G = eliminate(
                torch.stack([products for products, _ in found]).cpu(),
                torch.stack([gram for _, gram in found]).cpu(),
            )
        else:
            errors_G = _energy(program, family)
        scores[family.name] = group_scores(errors_G[:, None], options, auto="none")
    return scores


def eliminate(products_RGG: Tensor, grams_RGG: Tensor) -> Tensor:
    """Return the error that each group adds when it is eliminated, (num_groups,).

    Errors never fall in the order of elimination.

    Args:
        products_RGG: WᵀW of every reader, float64.
        grams_RGG: Gram matrix of its inputs, float64.
    """
    num_readers, _, num_groups = grams_RGG.shape
    ridge = _RIDGE * grams_RGG.diagonal(dim1=1, dim2=2).mean(1)
    eye = torch.eye(num_groups, dtype=torch.float64)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(grams_RGG + ridge[:, None, None] * eye))
    energy = (products_RGG * grams_RGG).sum((1, 2)).clamp_min(_LEAST)
    products = products_RGG / energy[:, None, None]
    pivots = inverse.diagonal(dim1=1, dim2=2).clone()
    own = products.diagonal(dim1=1, dim2=2).clone()
    # Each step changes both matrices by vectors, and reads the diagonals and one column. So the
    # vectors of a block of steps are kept, and the matrices follow after the block: with 1,152
    # groups this takes 2 seconds instead of 40.
    roots, shares, moved = torch.zeros(3, num_readers, _BLOCK, num_groups, dtype=torch.float64)
    errors = torch.zeros(num_groups, dtype=torch.float64)
    is_gone = torch.zeros(num_groups, dtype=torch.bool)
    highest = 0.0
    for number in range(num_groups):
        step = number % _BLOCK
        if number > 0 and step == 0:
            inverse -= roots.mT @ roots
            products -= shares.mT @ moved + moved.mT @ shares
        added = (own.clamp_min(0) / pivots.clamp_min(_LEAST)).sum(0)
        group = int(added.masked_fill(is_gone, torch.inf).argmin())
        highest = max(highest, float(added[group]))
        errors[group], is_gone[group] = highest, True
        of_inverse = inverse[:, group] - _column(roots, roots, step, group)
        of_group = products[:, group] - _column(shares, moved, step, group)
        of_group -= _column(moved, shares, step, group)
        pivot = pivots[:, group, None].clamp_min(_LEAST)
        share = of_inverse / pivot  # of the group in each of the others
        half = of_group - of_group[:, group, None] / 2 * share
        roots[:, step], shares[:, step], moved[:, step] = of_inverse / pivot.sqrt(), share, half
        pivots -= of_inverse * share
        own -= 2 * share * half
    return errors


def _column(a: Tensor, b: Tensor, num_steps: int, group: int) -> Tensor:
    """Return a column of AᵀB for each reader (R, G); the first rows of A and B are in use."""
    return torch.einsum("rsg,rs->rg", a[:, :num_steps], b[:, :num_steps, group])


def _products(program: Program, member: Member) -> Tensor:
    """Return WᵀW over the groups of a weight's axis, summed over all else."""
    weight = program.tensors[member.tensor].detach().double().movedim(member.dim, 0)
    columns_GN = weight[member.index_GK].flatten(1)
    return columns_GN @ columns_GN.T


def _energy(program: Program, family: Family) -> Tensor:
    """Return the share of each group in the squared weights of the family's filters."""
    energy = zeros_G(family, program.device)
    for member in family.producers():
        rows = program.tensors[member.tensor].detach().double().movedim(member.dim, 0).flatten(1)
        energy += rows.square().sum(1)[member.index_GK].sum(1)
    return energy / energy.sum().clamp_min(_LEAST)


RECONSTRUCTION = Criterion(
    "reconstruction",
    "what its readers lose if the other filters stand in for it",
    reconstruction,
    needs="samples",
    cost="one forward pass over `num_samples`",
    source="after He et al. 2017, arXiv:1707.06168",
)
