"""Metrics of a network on held-out samples, with confidence intervals.

Called by training, the pipeline and `sanity`. Nothing here trains.
"""

from secateur.engine.metrics.doubt import ByClass
from secateur.engine.metrics.evaluate import Judge, Metrics, evaluate, fitting_batch
from secateur.engine.metrics.metric import Metric
from secateur.engine.metrics.reading import PLAIN, Reading
from secateur.engine.metrics.reference import Reference
from secateur.engine.metrics.scoring import Scoring
from secateur.engine.metrics.scorings import METRICS, SCORINGS, accepted_labels, primary_metric

__all__ = [
    "METRICS",
    "PLAIN",
    "SCORINGS",
    "ByClass",
    "Judge",
    "Metric",
    "Metrics",
    "Reading",
    "Reference",
    "Scoring",
    "accepted_labels",
    "evaluate",
    "fitting_batch",
    "primary_metric",
]
