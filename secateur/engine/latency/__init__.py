"""Latency as a cost: what each layer takes on the target, measured, as a function of its widths.

Fewer multiply-accumulates are often not faster: kernels compute in blocks of channels, so latency
is a staircase in the width. Called by the pipeline and by selection; see `fit` for the loop that
meets a latency budget with whole networks.
"""

from secateur.engine.latency.fit import LatencyFit, fit_latency
from secateur.engine.latency.model import LatencyModel
from secateur.engine.latency.timer import LayerTimer

__all__ = ["LatencyFit", "LatencyModel", "LayerTimer", "fit_latency"]
