"""The learning rate as a pure function of the step, so resuming needs no scheduler state."""

import math

from secateur.engine.retrain.options import OptimizerOptions


def learning_rate(step: int, num_steps: int, options: OptimizerOptions) -> float:
    """Return the learning rate of ``step`` (from 0) in a run of ``num_steps``."""
    peak, warmup = options.learning_rate, options.warmup
    if options.schedule == "one_cycle":
        return one_cycle(step, num_steps, peak, warmup)
    num_warm = warmup * num_steps
    if step + 1 < num_warm:
        return peak * (step + 1) / num_warm
    if options.schedule == "constant":
        return peak
    return _cosine(peak, 0.0, (step - num_warm) / max(1.0, num_steps - num_warm))


def one_cycle(step: int, num_steps: int, peak: float, warmup: float) -> float:
    """Return the learning rate of ``step`` (from 0): a cosine climb to ``peak``, a cosine descent.

    Starts at a twenty-fifth of the peak and ends near zero. Smith and Topin 2018, arXiv:1708.07120,
    in the form of PyTorch's ``OneCycleLR``.
    """
    start, end = peak / 25, peak / 25e4
    climb = warmup * num_steps - 1
    if step <= climb:
        return _cosine(start, peak, step / climb if climb > 0 else 1.0)
    return _cosine(peak, end, (step - climb) / max(1.0, num_steps - 1 - climb))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2
