"""Metrics of a network on held-out samples, with confidence intervals.

Called by training, the pipeline and `sanity`. Nothing here trains.
"""

from secateur.engine.metrics.evaluate import Judge, Metrics, evaluate
from secateur.engine.metrics.metric import Metric
from secateur.engine.metrics.reference import Reference
from secateur.engine.metrics.scoring import Scoring
from secateur.engine.metrics.scorings import METRICS, SCORINGS, accepted_labels, primary_metric

__all__ = [
    "METRICS",
    "SCORINGS",
    "Judge",
    "Metric",
    "Metrics",
    "Reference",
    "Scoring",
    "accepted_labels",
    "evaluate",
    "primary_metric",
]
