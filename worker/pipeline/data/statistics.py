"""Mean and standard deviation of the samples, measured in pieces: memory does not grow with them.

Pieces are merged as Chan, Golub and LeVeque do (1979, "Updating formulae and a pairwise algorithm
for computing sample variances"), which loses no digits where the mean is far from zero.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.pipeline.data.rows import Rows

MAX_SAMPLES = 10_000
_CHUNK_BYTES = 16 * 1024**2
_CHANNELS_RANK = 3  # (C, H, W); what has fewer axes is measured as one channel
_MAX_CHANNELS = 64


@dataclass(frozen=True)
class Statistics:
    """Of the training split.

    Attributes:
        mean: One a channel; of bytes as numbers in [0, 1]. None where values are not finite.
        std: Likewise, of the population.
        num_samples: How many samples were looked at.
        low: The smallest stored value; None where values are not finite.
        high: The largest one.
        num_constant: How many samples hold one value throughout.
    """

    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    num_samples: int
    low: float | None = None
    high: float | None = None
    num_constant: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the numbers with six digits."""
        return {
            "mean": None if self.mean is None else [float(f"{value:.6g}") for value in self.mean],
            "std": None if self.std is None else [float(f"{value:.6g}") for value in self.std],
            "num_samples": self.num_samples,
        }


def measure(rows: Rows, indices: NDArray[np.int64]) -> Statistics:
    """Return mean and standard deviation of the samples ``indices`` (N,), at least one.

    At most `MAX_SAMPLES`, evenly spaced, are read. Images have one number a channel; vectors, and
    samples of more than 64 channels, one in all.
    """
    if len(indices) > MAX_SAMPLES:
        indices = indices[np.linspace(0, len(indices) - 1, MAX_SAMPLES).astype(np.int64)]
    shape = rows.sample_shape
    is_per_channel = len(shape) >= _CHANNELS_RANK and shape[0] <= _MAX_CHANNELS
    scale = 255.0 if rows.dtype == np.uint8 else 1.0
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    low, high, num_constant = np.inf, -np.inf, 0
    # A chunk is held as it is stored and as float64.
    chunk_rows = max(1, _CHUNK_BYTES // (rows.sample_bytes * 8 // rows.dtype.itemsize))
    for start in range(0, len(indices), chunk_rows):
        x = rows.read(indices[start : start + chunk_rows]).astype(np.float64)
        x = x.reshape(len(x), shape[0] if is_per_channel else 1, -1)
        if not np.isfinite(x).all():
            return Statistics(None, None, len(indices))
        lows, highs = x.min((1, 2)), x.max((1, 2))
        low, high = min(low, float(lows.min())), max(high, float(highs.max()))
        num_constant += int((lows == highs).sum()) if x[0].size > 1 else 0
        size = x.size // x.shape[1]
        chunk_mean = x.mean((0, 2))
        delta = chunk_mean - mean
        chunk_squares = np.square(x - chunk_mean[:, None]).sum((0, 2))
        squares = squares + chunk_squares + delta**2 * (count * size / (count + size))
        mean = mean + delta * (size / (count + size))
        count += size
    std = np.sqrt(squares / count)
    mean, std = mean / scale, std / scale
    return Statistics(tuple(mean), tuple(std), len(indices), low, high, num_constant)
