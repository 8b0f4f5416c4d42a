"""Distillation: objectives that learn from the dense network's outputs.

Probabilities saturate: where the student is surely wrong, the gradient of their squared error is
nearly zero. So a network with a softmax or a sigmoid at its end is taught by what comes before, as
one without is (compare Kim et al. 2021, "Comparing Kullback-Leibler divergence and mean squared
error loss in knowledge distillation", arXiv:2105.08919).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.engine.objectives.cross_entropy import loss_by_labels
from secateur.engine.objectives.objective import Answers, Objective
from secateur.engine.objectives.options import ObjectiveOptions
from secateur.engine.objectives.outputs import Activation, log_probabilities


def soften(found: Tensor, wanted: Tensor, kind: Activation, temperature: float) -> Tensor:
    """Return the softened Kullback-Leibler divergence from teacher to student, (N, C) each.

    Hinton et al. 2015, arXiv:1503.02531. The factor of temperature squared keeps the size of the
    gradient independent of the temperature.
    """
    student = log_probabilities(found, kind, temperature)
    teacher = log_probabilities(wanted, kind, temperature)
    divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def _distill(answers: Answers, options: ObjectiveOptions) -> Tensor:
    del options
    return _distance(answers)


def _mixed(answers: Answers, options: ObjectiveOptions) -> Tensor:
    by_labels = loss_by_labels(answers, options)
    by_teacher = soften(
        answers.found[0], answers.taught[0], answers.activation, options.temperature
    )
    if len(answers.found) > 1:
        by_teacher = by_teacher + _distance(answers, first=1)
    weight = options.distill_weight
    return (1 - weight) * by_labels + weight * by_teacher


def _distance(answers: Answers, first: int = 0) -> Tensor:
    """Return the squared error as a share of the teacher's variance, averaged over outputs."""
    found, wanted, scales = answers.found[first:], answers.taught[first:], answers.scales[first:]
    parts = [F.mse_loss(a, b) / scale for a, b, scale in zip(found, wanted, scales, strict=True)]
    return torch.stack(parts).mean()


DISTILL = Objective(
    "distill",
    "from the dense network's answers, without labels",
    "distance to the teacher, by its variance",
    _distill,
    labels=None,
    needs_teacher=True,
    is_before_ending=True,
)
MIXED = Objective(
    "mixed",
    "from the labels and from the dense network's answers",
    "cross-entropy and the teacher's divergence",
    _mixed,
    needs_teacher=True,
)
