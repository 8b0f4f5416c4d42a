"""Distillation of detectors: learn most where the dense network is sure that something is.

Nearly all positions of a detector's outputs show background. A plain distance is small for a
network that calls everything background. The weights need no knowledge of the form of the outputs:
objects are where the teacher's outputs differ most from its usual ones (compare
Chen et al. 2017, "Learning efficient object detection models with knowledge distillation", and
Zhang and Ma 2021, "Improve object detection with feature-based knowledge distillation").
"""

import torch
from torch import Tensor

from secateur.engine.objectives.objective import Answers, Objective
from secateur.engine.objectives.options import ObjectiveOptions

_LEAST_SHARE = 0.01  # of the channels' geometric mean; a class that never occurs has no variance
_MOST_WEIGHT = 100.0  # squared deviations
_TINY = 1e-12


def sure_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the weighted squared distance of an output (N, ...) from the teacher's, a scalar.

    Errors are divided by each channel's variance, because boxes in pixels and scores may share an
    output. The channels of (N, C, H, W) are C; of three axes, the shorter one after the batch.
    """
    if wanted.ndim < 3:  # noqa: PLR2004  # without positions
        scale = wanted.double().var(correction=0).float().clamp_min(_TINY)
        return (found - wanted).square().mean() / scale
    if wanted.ndim == 3 and wanted.shape[2] < wanted.shape[1]:  # noqa: PLR2004  # (N, A, C)
        found, wanted = found.transpose(1, 2), wanted.transpose(1, 2)
    found_NCP, wanted_NCP = found.flatten(2), wanted.flatten(2)
    usual_C1 = wanted_NCP.transpose(0, 1).flatten(1).median(1, keepdim=True).values
    variance_C1 = wanted_NCP.transpose(0, 1).flatten(1).var(1, correction=0, keepdim=True)
    floor = _LEAST_SHARE * variance_C1.clamp_min(_TINY).log().mean().exp()
    scale_C1 = variance_C1.maximum(floor).clamp_min(_TINY)
    weight_NP = 1 + ((wanted_NCP - usual_C1).square() / scale_C1).amax(1).clamp_max(_MOST_WEIGHT)
    error_NP = ((found_NCP - wanted_NCP).square() / scale_C1).mean(1)
    return (weight_NP * error_NP).mean() / weight_NP.mean()


def _loss(answers: Answers, options: ObjectiveOptions) -> Tensor:
    del options
    pairs = zip(answers.found, answers.taught, strict=True)
    return torch.stack([sure_distance(found, wanted) for found, wanted in pairs]).mean()


DISTILL_SURE = Objective(
    "distill_sure",
    "from the dense network's answers, most where it is sure",
    "weighted distance to the teacher",
    _loss,
    labels=None,
    needs_teacher=True,
)
