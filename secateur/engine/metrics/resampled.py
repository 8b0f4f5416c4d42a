"""Intervals of mean average precision, by resampling the images."""

import numpy as np

from secateur.engine.intervals import Interval
from secateur.engine.metrics.average_precision import Matches, means
from secateur.engine.metrics.doubt import Change, Doubt, resamples
from secateur.engine.metrics.matching import Array

_NUM_RESAMPLES = 100
_MOST_FOUND = 200_000  # in all images; the cost of intervals grows with them


def image_weights(matches: Matches, num_samples: int) -> Array | None:
    """Return how often each resample has each image, (B, I); None if it costs too much."""
    if num_samples < 2 or matches.num_found > _MOST_FOUND:  # noqa: PLR2004
        return None
    found: Array = resamples(num_samples, _NUM_RESAMPLES).double().numpy()
    return found


def doubt_of_mean(own: Matches, before: Matches, num_samples: int) -> Doubt:
    """Return the intervals of the mean over all thresholds, and of its change.

    Args:
        own: Matches of the network.
        before: Matches of the reference; empty without one.
        num_samples: Number of images.
    """
    weights = image_weights(own, num_samples)
    if weights is None:
        return Doubt()
    values = np.array([means(own.precisions(each))[0] for each in weights])
    if before.num_images != num_samples:
        return Doubt(ends(values))
    others = np.array([means(before.precisions(each))[0] for each in weights])
    low, high = ends(values - others)
    difference = means(own.precisions())[0] - means(before.precisions())[0]
    return Doubt(ends(values), Change(difference, low, high))


def ends(values: Array) -> Interval:
    """Return the ends of the 95 % interval of resampled values."""
    low, high = np.quantile(values, (0.025, 0.975)).tolist()
    return low, high
