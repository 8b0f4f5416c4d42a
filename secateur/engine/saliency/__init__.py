"""Saliency scores of channel groups, one file per criterion.

Called by the pipeline. Reads a program and its groups, returns scores, changes nothing.
"""

from secateur.engine.saliency.agreement import agreement_with_loss, spearman
from secateur.engine.saliency.criteria import CRITERIA
from secateur.engine.saliency.criterion import Criterion
from secateur.engine.saliency.options import (
    CalibrationBatch,
    CalibrationBatches,
    SaliencyOptions,
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
