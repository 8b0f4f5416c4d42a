"""Mean and standard deviation of the samples, computed in chunks with bounded memory.

Chunks are merged as in Chan, Golub and LeVeque (1979, "Updating formulae and a pairwise algorithm
for computing sample variances"), which stays accurate when the mean is far from zero.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.pipeline.data.rows import Rows

MAX_SAMPLES = 10_000
_CHUNK_BYTES = 16 * 1024**2
_CHANNELS_RANK = 3  # (C, H, W); samples with fewer axes count as one channel
_MAX_CHANNELS = 64


@dataclass(frozen=True)
class Statistics:
    """Statistics of the training split.

    Attributes:
        mean: One value per channel; bytes are scaled to [0, 1]. None if values are not finite.
        std: Population standard deviation, scaled like ``mean``.
        num_samples: Number of samples measured.
        low: Smallest stored value; None if values are not finite.
        high: Largest stored value; None if values are not finite.
        num_constant: Number of samples whose values are all equal.
    """

    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    num_samples: int
    low: float | None = None
    high: float | None = None
    num_constant: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as JSON, with six significant digits."""
        return {
            "mean": None if self.mean is None else [float(f"{value:.6g}") for value in self.mean],
            "std": None if self.std is None else [float(f"{value:.6g}") for value in self.std],
            "num_samples": self.num_samples,
        }


def measure(rows: Rows, indices: NDArray[np.int64]) -> Statistics:
    """Measure the samples ``indices`` (N,), of which there is at least one.

    At most `MAX_SAMPLES` of them are read, evenly spaced. Images have one mean and std per channel;
    vectors and samples of more than 64 channels have a single one.
    """
    if len(indices) > MAX_SAMPLES:
        indices = indices[np.linspace(0, len(indices) - 1, MAX_SAMPLES).astype(np.int64)]
    shape = rows.sample_shape
    is_per_channel = len(shape) >= _CHANNELS_RANK and shape[0] <= _MAX_CHANNELS
    scale = 255.0 if rows.dtype == np.uint8 else 1.0
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    low, high, num_constant = np.inf, -np.inf, 0
    # A chunk is in memory twice: as stored and as float64.
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
