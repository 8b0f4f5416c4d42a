"""95 % confidence intervals of shares and means."""

import math

_Z = 1.959964  # standard deviations that cover 95 % of a normal distribution


def share_interval(share: float, num_samples: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927); valid for few samples too."""
    if num_samples == 0:
        return 0.0, 1.0
    square = _Z**2 / num_samples
    centre = (share + square / 2) / (1 + square)
    half = _Z * math.sqrt(share * (1 - share) / num_samples + square / num_samples / 4)
    half /= 1 + square
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(mean: float, deviation: float, num_samples: int) -> tuple[float, float]:
    """Return the 95 % interval of a mean, assuming a normal distribution."""
    half = _Z * deviation / math.sqrt(max(1, num_samples))
    return mean - half, mean + half
