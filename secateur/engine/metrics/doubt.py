"""Confidence intervals of a score, and of its difference from the reference's.

`evaluate` accumulates the needed sums while it reads the outputs, so nothing is computed twice.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.engine.intervals import (
    Interval,
    mean_interval,
    paired_share_interval,
    proportion_interval,
)

_NUM_RESAMPLES = 300
_ENDS = (0.025, 0.975)
_MOST_COUNTS = 20_000_000  # largest number of samples times classes kept for resampling


@dataclass(frozen=True)
class Change:
    """Difference of the primary metric from the reference's, on the same samples.

    Attributes:
        difference: This network's value minus the reference's.
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
        num_lost: Samples that only the reference gets right; None if the metric does not count
            correct samples.
        num_won: Samples that only this network gets right; None in the same case.
    """

    difference: float
    low: float
    high: float
    num_lost: int | None = None
    num_won: int | None = None


@dataclass(frozen=True)
class Doubt:
    """Uncertainty of the primary metric.

    Attributes:
        interval: Its 95 % interval; None if unknown.
        change: Difference from the reference; None without a reference.
    """

    interval: Interval | None = None
    change: Change | None = None


class Hits:
    """Counts of correct samples of this network and of the reference."""

    def __init__(self) -> None:
        self._counts_3 = torch.zeros(3, dtype=torch.int64)  # hits, won and lost samples
        self._compared = 0

    def add(self, is_right: Tensor, was_right: Tensor | None) -> None:
        """Add a batch: booleans (N,) of this network, and of the reference if there is one."""
        counts = [is_right.sum()]
        if was_right is not None:
            self._compared += len(is_right)
            counts += [(is_right & ~was_right).sum(), (~is_right & was_right).sum()]
        zero = torch.zeros_like(counts[0])
        counts += [zero] * (3 - len(counts))
        self._counts_3 = self._counts_3.to(zero.device) + torch.stack(counts)

    @property
    def num_hits(self) -> int:
        """Correct samples of this network."""
        return int(self._counts_3[0])

    def doubt(self, num_samples: int) -> Doubt:
        """Return the intervals of the share of correct samples."""
        change, (num_hits, won, lost) = None, self._counts_3.tolist()
        if num_samples and self._compared == num_samples:
            low, high = paired_share_interval(lost, won, num_samples)
            change = Change((won - lost) / num_samples, low, high, lost, won)
        return Doubt(proportion_interval(num_hits, num_samples), change)


class Errors:
    """Sums of per-sample errors of this network and of the reference."""

    def __init__(self) -> None:
        self._sums = torch.zeros(2, dtype=torch.float64)  # of errors, and of their squares
        self._changes = torch.zeros(2, dtype=torch.float64)
        self._compared = 0

    def add(self, error_N: Tensor, error_before_N: Tensor | None) -> None:
        """Add a batch: errors (N,) of this network, and of the reference if there is one."""
        self._sums = _add(self._sums, error_N)
        if error_before_N is not None:
            self._compared += len(error_N)
            self._changes = _add(self._changes, error_N.double() - error_before_N.double())

    def doubt(self, num_samples: int) -> Doubt:
        """Return the intervals of the mean error, by the normal distribution."""
        total, squares = self._sums.tolist()
        difference, squared = self._changes.tolist()
        found = mean_interval(difference, squared, self._compared)
        change = None
        if found is not None and self._compared == num_samples:
            change = Change(difference / num_samples, *found)
        return Doubt(mean_interval(total, squares, num_samples), change)


class Counts:
    """Per-sample counts for F1: (true positives, predicted, labelled) of every class.

    Macro-F1 is not a mean over samples, so its interval is a percentile bootstrap (Efron 1979,
    "Bootstrap methods"). Both networks use the same resamples.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, Tensor | None]] = []
        self._size = 0

    def add(self, counts_N3C: Tensor, before_N3C: Tensor | None) -> None:
        """Add a batch (N, 3, C) of this network, and of the reference if there is one."""
        self._size += counts_N3C.shape[0] * counts_N3C.shape[2]
        if self._size <= _MOST_COUNTS:
            packed = None if before_N3C is None else before_N3C.cpu().to(torch.uint8)
            self._parts.append((counts_N3C.cpu().to(torch.uint8), packed))

    def doubt(self, num_samples: int) -> Doubt:
        """Return the intervals of macro-F1; empty above 20 million samples times classes."""
        if not self._parts or self._size > _MOST_COUNTS or num_samples < 2:  # noqa: PLR2004
            return Doubt()
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randint(num_samples, (_NUM_RESAMPLES, num_samples), generator=generator)
        weights = torch.stack([row.bincount(minlength=num_samples) for row in drawn]).float()
        own = torch.cat([part for part, _ in self._parts])
        scores = _resampled_f1(own, weights)
        interval = _ends(scores)
        before = [part for _, part in self._parts if part is not None]
        if len(before) < len(self._parts):
            return Doubt(interval)
        reference = torch.cat(before)
        low, high = _ends(scores - _resampled_f1(reference, weights))
        difference = macro_f1(own.sum(0)) - macro_f1(reference.sum(0))
        return Doubt(interval, Change(difference, low, high))


def macro_f1(counts_3C: Tensor) -> float:
    """Return F1 averaged over the classes that occur among labels or predictions."""
    hits, predicted, labelled = counts_3C.cpu().double()
    occurs = (predicted + labelled) > 0
    if not bool(occurs.any()):
        return 0.0
    return float((2 * hits[occurs] / (predicted + labelled)[occurs]).mean())


def _resampled_f1(counts_N3C: Tensor, weights_BN: Tensor) -> Tensor:
    size = counts_N3C.shape
    drawn_B3C = (weights_BN @ counts_N3C.flatten(1).float()).view(-1, 3, size[2])
    return torch.tensor([macro_f1(each) for each in drawn_B3C])


def _ends(values: Tensor) -> Interval:
    low, high = torch.quantile(values.double(), torch.tensor(_ENDS, dtype=torch.float64)).tolist()
    return low, high


def _add(sums_2: Tensor, values: Tensor) -> Tensor:
    values = values.double()
    return sums_2.to(values.device) + torch.stack([values.sum(), values.square().sum()])
