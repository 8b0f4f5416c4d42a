"""Saliency: how much every channel group matters, one file for each criterion.

Called by the pipeline; reads program and groups, returns scores, changes nothing. To add a
criterion: a file with a function of the type `Criterion`, and a line in `CRITERIA`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from secateur.engine.saliency.agreement import agreement_with_loss, spearman
from secateur.engine.saliency.batch_norm_scale import bn_scale
from secateur.engine.saliency.geometric_median import geometric_median
from secateur.engine.saliency.lamp import lamp
from secateur.engine.saliency.loss import loss
from secateur.engine.saliency.norms import l1, l2
from secateur.engine.saliency.options import (
    CalibrationBatch,
    CalibrationBatches,
    Criterion,
    SaliencyOptions,
)
from secateur.engine.saliency.random_scores import random
from secateur.engine.saliency.taylor import taylor

CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        "l1": l1,
        "l2": l2,
        "loss": loss,
        "taylor": taylor,
        "bn_scale": bn_scale,
        "geometric_median": geometric_median,
        "lamp": lamp,
        "random": random,
    }
)

__all__ = [
    "CRITERIA",
    "CalibrationBatch",
    "CalibrationBatches",
    "Criterion",
    "SaliencyOptions",
    "agreement_with_loss",
    "spearman",
]
