"""Latency as a cost: measured time of each layer on the target, as a function of its widths.

Fewer multiply-accumulates are often not faster: kernels compute in blocks of channels, so latency
is a staircase in the width. Called by the pipeline and by selection. `fit` meets a latency budget
by measuring whole networks; `table` has latencies that another device measured.
"""

from secateur.engine.latency.bench import bench_of
from secateur.engine.latency.fit import LatencyFit, fit_latency
from secateur.engine.latency.model import LatencyModel
from secateur.engine.latency.table import LatencyTable
from secateur.engine.latency.timer import LayerShape, LayerTimer, Precision

__all__ = [
    "LatencyFit",
    "LatencyModel",
    "LatencyTable",
    "LayerShape",
    "LayerTimer",
    "Precision",
    "bench_of",
    "fit_latency",
]
