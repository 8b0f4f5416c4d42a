"""Criterion ``loss``: the exact loss without the filter (claim 5 of CN113361702A).

Each group is removed alone by zeroing all its slices, as in the masked twin, and the loss on the
calibration batches is computed again. Nothing is approximated: `ablation` only avoids computing the
same value twice. Without labels the loss is the squared distance to the dense network's outputs.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.graph import Analysis, Family
from secateur.engine.objectives.cross_entropy import cross_entropy
from secateur.engine.program.program import Program
from secateur.engine.saliency.ablation import Ablation, PartialRunner
from secateur.engine.saliency.criterion import Criterion
from secateur.engine.saliency.options import (
    CalibrationBatch,
    CalibrationBatches,
    SaliencyOptions,
    group_scores,
    in_runs,
)


def loss(
    program: Program,
    analysis: Analysis,
    batches: CalibrationBatches,
    options: SaliencyOptions,
) -> dict[str, Tensor]:
    """Score a group by the rise of the mean loss when it is removed; may be negative.

    Raises:
        DataError: The labels do not fit, or the dense network's loss is not finite.
    """
    runner = PartialRunner(program)
    ablations = [
        (family, runner.ablation(member.tensor for member in family.members))
        for family in analysis.families
    ]
    ablations.sort(key=lambda pair: pair[1].start)
    rises = {f.name: torch.zeros(f.num_groups, dtype=torch.float64) for f in analysis.families}
    batches = in_runs(batches, program.batch_size)
    total = len(batches) * sum(family.num_groups for family in analysis.families)
    done = 0
    with torch.inference_mode():
        for batch in batches:
            for family, rise_G in _rises(program, runner, ablations, batch):
                rises[family.name] += rise_G
                done += family.num_groups
                if options.on_progress is not None:
                    options.on_progress(done, total)
    num_samples = sum(len(batch.inputs[0]) for batch in batches)
    return {
        name: group_scores(_finite(rise_G / num_samples)[:, None], options, auto="none")
        for name, rise_G in rises.items()
    }


def _rises(
    program: Program,
    runner: PartialRunner,
    ablations: list[tuple[Family, Ablation]],
    batch: CalibrationBatch,
) -> Iterator[tuple[Family, Tensor]]:
    """Yield each family with the rise of the loss per group (num_groups,), summed over samples."""
    nothing = runner.ablation(())
    frontier, position = runner.begin(batch.inputs), 0
    everything = runner.advance(frontier, 0, nothing.start)
    dense = runner.outputs(nothing, everything | runner.unchanged(nothing, everything), {})
    dense_loss = _loss(dense, dense, batch.labels)
    if not math.isfinite(value := float(dense_loss)):
        raise DataError(f"the loss of the network on the calibration samples is {value}")
    for family, ablation in ablations:
        frontier = runner.advance(frontier, position, ablation.start)
        position = ablation.start
        shared = runner.unchanged(ablation, frontier)
        losses = [
            _loss(runner.outputs(ablation, shared, tensors), dense, batch.labels)
            for tensors in without_each_group(program, family)
        ]
        yield family, (torch.stack(losses) - dense_loss).cpu()  # an accelerator is waited for here


def without_each_group(program: Program, family: Family) -> Iterator[dict[str, Tensor]]:
    """Yield the family's tensors once per group, with that group's slices zeroed.

    The same tensors are yielded every time and edited in place, because copying all weights for
    every group would cost more than running a small layer.
    """
    edited = {m.tensor: program.tensors[m.tensor].clone() for m in family.members}
    for group in range(family.num_groups):
        for member in family.members:
            edited[member.tensor].index_fill_(member.dim, member.index_GK[group], 0)
        yield edited
        for member in family.members:
            index = member.index_GK[group]
            original = program.tensors[member.tensor].index_select(member.dim, index)
            edited[member.tensor].index_copy_(member.dim, index, original)


def _loss(outputs: list[Any], dense: list[Any], labels: Tensor | None) -> Tensor:
    """Return the loss summed over the samples, a float64 scalar."""
    if labels is not None:
        return cross_entropy(outputs[0].double(), labels, reduction="sum")
    parts = [
        (found.double() - wanted.double()).square().flatten(1).mean(1).sum()
        for found, wanted in zip(outputs, dense, strict=True)
        if isinstance(wanted, Tensor) and wanted.is_floating_point()
    ]
    return sum(parts, torch.zeros((), dtype=torch.float64))


def _finite(rise_G: Tensor) -> Tensor:
    # If removing a group makes the loss infinite or NaN, the group must rank highest, with a score
    # that JSON can represent.
    finite = rise_G[torch.isfinite(rise_G)]
    highest = float(finite.max()) if len(finite) else 0.0
    return torch.nan_to_num(rise_G, nan=2 * abs(highest) + 1, posinf=2 * abs(highest) + 1)


LOSS = Criterion(
    "loss",
    "the loss without it",
    loss,
    needs="samples",
    is_cheap=False,
    cost="one measurement per filter",
    source="the patent's claim 5",
)
