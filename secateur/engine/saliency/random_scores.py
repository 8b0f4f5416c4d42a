"""Criterion ``random``: the baseline that every criterion should beat, and some do not.

It ranks third of twelve after retraining in PruningBench (2024, arXiv:2406.12315).
"""

import torch
from torch import Tensor

from secateur.engine.graph import Analysis
from secateur.engine.program.program import Program
from secateur.engine.saliency.criterion import Criterion
from secateur.engine.saliency.options import CalibrationBatches, SaliencyOptions, group_scores


def random(
    program: Program,
    analysis: Analysis,
    batches: CalibrationBatches,
    options: SaliencyOptions,
) -> dict[str, Tensor]:
    """Score every group uniformly in [0, 1), deterministic for a given seed."""
    del program, batches
    generator = torch.Generator().manual_seed(options.seed)
    return {
        family.name: group_scores(
            torch.rand(family.num_groups, 1, generator=generator, dtype=torch.float64),
            options,
            auto="none",
        )
        for family in analysis.families
    }


RANDOM = Criterion("random", "chance", random, is_baseline=True, source="the baseline")
