"""The learning rate as a pure function of the step, so that resuming needs no scheduler state."""

import math


def one_cycle(step: int, num_steps: int, peak: float, warmup: float) -> float:
    """Return the learning rate of ``step`` (from 0): a cosine climb to ``peak``, a cosine descent.

    Starts at a twenty-fifth of the peak and ends near zero (Smith and Topin 2018,
    arXiv:1708.07120, in the form that PyTorch's ``OneCycleLR`` made usual).
    """
    start, end = peak / 25, peak / 25e4
    climb = warmup * num_steps - 1
    if step <= climb:
        return _cosine(start, peak, step / climb if climb > 0 else 1.0)
    return _cosine(peak, end, (step - climb) / max(1.0, num_steps - 1 - climb))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
