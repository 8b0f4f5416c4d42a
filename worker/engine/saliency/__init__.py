"""Saliency: how much every channel group matters, one file for each criterion.

Called by the pipeline; reads program and groups, returns scores, changes nothing. To add a
criterion: a file with a function of the type `Criterion`, and a line in `CRITERIA`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from worker.engine.saliency.loss import loss
from worker.engine.saliency.norms import l1, l2
from worker.engine.saliency.options import (
    CalibrationBatch,
    CalibrationBatches,
    Criterion,
    SaliencyOptions,
)
from worker.engine.saliency.random_scores import random

CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {"l1": l1, "l2": l2, "loss": loss, "random": random}
)

__all__ = [
    "CRITERIA",
    "CalibrationBatch",
    "CalibrationBatches",
    "Criterion",
    "SaliencyOptions",
]
