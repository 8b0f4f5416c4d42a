"""95 % confidence intervals of measured numbers.

Pure Python. `measure` uses them for times, `metrics` and the sanity check for scores.
"""

from collections.abc import Sequence
from math import comb, sqrt
from statistics import median

_Z = 1.959964  # standard deviations that cover 95 % of a normal distribution
_MOST_OUTSIDE = 0.05

Interval = tuple[float, float]


def proportion_interval(num_hits: float, num_samples: int) -> Interval:
    """Return the interval of a share of samples.

    The score interval of Wilson 1927 ("Probable inference, the law of succession, and statistical
    inference"): it stays within [0, 1] and holds for few samples and for shares near the ends.
    """
    if num_samples == 0:
        return 0.0, 1.0
    share, z2 = num_hits / num_samples, _Z**2
    middle = share + z2 / (2 * num_samples)
    half = _Z * sqrt(share * (1 - share) / num_samples + z2 / (4 * num_samples**2))
    scale = 1 + z2 / num_samples
    low = 0.0 if num_hits == 0 else (middle - half) / scale
    high = 1.0 if num_hits == num_samples else (middle + half) / scale
    return low, high


def paired_share_interval(num_lost: int, num_won: int, num_samples: int) -> Interval:
    """Return the interval of the difference of two shares of the same samples.

    Only samples that exactly one of the two networks gets right carry information
    (McNemar 1947). The interval is that of Agresti and Min 2005 ("Simple improved confidence
    intervals for comparing matched proportions"): half a sample is added to each of the four cells.

    Args:
        num_lost: Samples that only the first network gets right.
        num_won: Samples that only the second network gets right.
        num_samples: Number of all samples.
    """
    if num_samples == 0:
        return -1.0, 1.0
    total = num_samples + 2
    middle = (num_won - num_lost) / total
    half = _Z * sqrt((num_won + num_lost + 1) - (num_won - num_lost) ** 2 / total) / total
    return max(-1.0, middle - half), min(1.0, middle + half)


def mean_interval(total: float, total_of_squares: float, num_samples: int) -> Interval | None:
    """Return the interval of a mean by the normal distribution; None for fewer than two samples.

    Args:
        total: The sum of the values.
        total_of_squares: The sum of their squares.
        num_samples: How many there are.
    """
    if num_samples < 2:  # noqa: PLR2004
        return None
    mean = total / num_samples
    variance = max(0.0, total_of_squares / num_samples - mean**2) * num_samples / (num_samples - 1)
    return normal_interval(mean, sqrt(variance), num_samples)


def normal_interval(mean: float, deviation: float, num_samples: int) -> Interval:
    """Return the interval of a mean by the normal distribution.

    Args:
        mean: The mean of the samples.
        deviation: Their standard deviation.
        num_samples: How many there are.
    """
    half = _Z * deviation / sqrt(max(1, num_samples))
    return mean - half, mean + half


def difference_interval(
    before: float, before_interval: Interval, after: float, after_interval: Interval
) -> Interval:
    """Return the interval of the difference of two numbers measured independently.

    Newcombe 1998 ("Interval estimation for the difference between independent proportions",
    method 10): the distances to the ends of the two intervals are added in quadrature. If both
    numbers come from the same samples, the interval is wider than necessary.
    """
    (low_0, high_0), (low_1, high_1) = before_interval, after_interval
    down = sqrt((after - low_1) ** 2 + (high_0 - before) ** 2)
    up = sqrt((high_1 - after) ** 2 + (before - low_0) ** 2)
    return after - before - down, after - before + up


def median_interval(values: Sequence[float]) -> tuple[float, Interval]:
    """Return the median of ``values`` and its interval.

    The ends are two of the sorted values. The number of values below the true median is binomial
    for any distribution (Thompson 1936, "On confidence ranges for the median"). With fewer than six
    values the interval is the full range and covers less than 95 %.
    """
    ordered, number = sorted(values), len(values)
    rank, below = 0, comb(number, 0)
    while rank + 1 <= (number - 1) // 2:
        below += comb(number, rank + 1)
        if 2 * below / 2**number > _MOST_OUTSIDE:
            break
        rank += 1
    return median(ordered), (ordered[rank], ordered[number - 1 - rank])
