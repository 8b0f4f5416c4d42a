"""Does a network know these samples? What its answers, its scores and its BatchNorm layers say.

Called by the pipeline before anything is pruned. Nothing here decides: it measures.
"""

from secateur.engine.sanity.interval import mean_interval, share_interval
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
    "mean_interval",
    "share_interval",
    "worst",
]
