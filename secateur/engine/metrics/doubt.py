"""Confidence intervals of a score, and of its difference from the reference's.

`evaluate` accumulates the needed sums while it reads the outputs, so nothing is computed twice.
"""

from collections.abc import Callable, Mapping
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


@dataclass(frozen=True)
class ByClass:
    """Metrics of one class.

    Attributes:
        number: Number of the class.
        values: Metrics by name.
        intervals: 95 % intervals by name.
    """

    number: int
    values: Mapping[str, float]
    intervals: Mapping[str, Interval]


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
    """Per-sample counts: (true positives, predicted, labelled) of every class.

    Metrics of such counts are not means over samples, so their intervals are percentile bootstraps
    (Efron 1979, "Bootstrap methods"). Both networks use the same resamples.
    """

    def __init__(
        self, statistic: Callable[[Tensor], float], dtype: torch.dtype = torch.uint8
    ) -> None:
        """Prepare to count.

        Args:
            statistic: Returns the primary metric of counts (3, C).
            dtype: Integers that hold the counts of one sample.
        """
        self._statistic, self._dtype = statistic, dtype
        self._parts: list[tuple[Tensor, Tensor | None]] = []
        self._size = 0
        self._total: Tensor | None = None

    def add(self, counts_N3C: Tensor, before_N3C: Tensor | None) -> None:
        """Add a batch (N, 3, C) of this network, and of the reference if there is one."""
        self._size += counts_N3C.shape[0] * counts_N3C.shape[2]
        summed = counts_N3C.sum(0, dtype=torch.float64).cpu()
        self._total = summed if self._total is None else self._total + summed
        if self._size <= _MOST_COUNTS:
            packed = None if before_N3C is None else before_N3C.cpu().to(self._dtype)
            self._parts.append((counts_N3C.cpu().to(self._dtype), packed))

    def total(self) -> Tensor | None:
        """Return the counts (3, C) of all samples; None without samples."""
        return self._total

    def doubt(self, num_samples: int) -> Doubt:
        """Return the intervals of the metric; empty above 20 million samples times classes."""
        weights = self._weights(num_samples)
        if weights is None:
            return Doubt()
        own = torch.cat([part for part, _ in self._parts])
        scores = self._resampled(own, weights)
        interval = _ends(scores)
        before = [part for _, part in self._parts if part is not None]
        if len(before) < len(self._parts):
            return Doubt(interval)
        reference = torch.cat(before)
        low, high = _ends(scores - self._resampled(reference, weights))
        difference = self._statistic(own.sum(0)) - self._statistic(reference.sum(0))
        return Doubt(interval, Change(difference, low, high))

    def by_class(
        self, num_samples: int, statistics: Mapping[str, Callable[[Tensor], Tensor]]
    ) -> tuple[ByClass, ...]:
        """Return metrics of every class that occurs.

        Args:
            num_samples: Number of samples added.
            statistics: By the metric's name, a function from counts (3, C) to its values (C,).
        """
        if self._total is None:
            return ()
        values = {name: each(self._total).tolist() for name, each in statistics.items()}
        intervals: dict[str, list[Interval]] = {}
        weights = self._weights(num_samples)
        if weights is not None:
            drawn = _drawn(torch.cat([part for part, _ in self._parts]), weights)
            for name, each in statistics.items():
                scores_BC = torch.stack([each(counts) for counts in drawn])
                intervals[name] = [_ends(column[column.isfinite()]) for column in scores_BC.T]
        occurs = (self._total[1:].sum(0) > 0).tolist()
        return tuple(
            ByClass(
                number,
                {name: each[number] for name, each in values.items()},
                {name: each[number] for name, each in intervals.items()},
            )
            for number in range(self._total.shape[1])
            if occurs[number]
        )

    def _weights(self, num_samples: int) -> Tensor | None:
        """Return how often each resample has each sample, (B, N); None without resamples."""
        if not self._parts or self._size > _MOST_COUNTS or num_samples < 2:  # noqa: PLR2004
            return None
        return resamples(num_samples)

    def _resampled(self, counts_N3C: Tensor, weights_BN: Tensor) -> Tensor:
        return torch.tensor([self._statistic(each) for each in _drawn(counts_N3C, weights_BN)])


def resamples(num_samples: int, num: int = _NUM_RESAMPLES) -> Tensor:
    """Return how often each of ``num`` bootstrap resamples has each sample, (num, N)."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(num_samples, (num, num_samples), generator=generator)
    return torch.stack([row.bincount(minlength=num_samples) for row in drawn]).float()


def macro_f1(counts_3C: Tensor) -> float:
    """Return F1 averaged over the classes that occur among labels or predictions."""
    hits, predicted, labelled = counts_3C.cpu().double()
    occurs = (predicted + labelled) > 0
    if not bool(occurs.any()):
        return 0.0
    return float((2 * hits[occurs] / (predicted + labelled)[occurs]).mean())


def _drawn(counts_N3C: Tensor, weights_BN: Tensor) -> Tensor:
    """Return the counts of each resample, (B, 3, C)."""
    return (weights_BN @ counts_N3C.flatten(1).float()).view(-1, 3, counts_N3C.shape[2])


def _ends(values: Tensor) -> Interval:
    if len(values) == 0:  # the class occurs in no resample
        return 0.0, 1.0
    low, high = torch.quantile(values.double(), torch.tensor(_ENDS, dtype=torch.float64)).tolist()
    return low, high


def _add(sums_2: Tensor, values: Tensor) -> Tensor:
    values = values.double()
    return sums_2.to(values.device) + torch.stack([values.sum(), values.square().sum()])
