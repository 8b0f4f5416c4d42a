"""Checks that a network fits its samples: metrics, label order and BatchNorm input statistics.

Called by the pipeline before pruning. This package measures; the pipeline decides.
"""

from secateur.engine.sanity.look import Look, look
from secateur.engine.sanity.order import Order, find_order
from secateur.engine.sanity.statistics import NormShift, distance, worst

__all__ = [
    "Look",
    "NormShift",
    "Order",
    "distance",
    "find_order",
    "look",
    "worst",
]
