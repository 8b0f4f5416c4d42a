"""Was the machine busy with other things while something was timed?

Linux says what all processes used, and what was taken from them; a thread's own clock says on any
system how long it waited. What neither says is not known.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_BUSY_SHARE = 0.75  # of the processors, others and we together: from there on they are shared
_LEAST_OTHERS = 0.2  # processors: less is what any system does by itself
_MOST_STEAL, _MOST_WAITED, _MOST_THROTTLED = 0.02, 0.1, 0.02  # of the time
_MOST_SPREAD = 2.0  # of the 95th percentile over the median
_STAT, _CGROUP = Path("/proc/stat"), Path("/sys/fs/cgroup/cpu.stat")


@dataclass(frozen=True)
class Load:
    """What went on beside a measurement.

    Attributes:
        is_busy: Whether it was disturbed; None where that is not known.
        reason: By what, in words; empty if it was not.
        others: Processors that others kept busy on average; None where that is not known.
    """

    is_busy: bool | None
    reason: str = ""
    others: float | None = None


class Used(NamedTuple):
    """Seconds of processors since the machine started."""

    busy: float
    steal: float
    throttled: float


class LoadMeter:
    """Compares what the machine has computed with what we have, from its making to `read`."""

    def __init__(
        self,
        num_threads: int,
        *,
        num_processors: int | None = None,
        read_used: Callable[[], Used | None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        own_clock: Callable[[], float] = time.process_time,
        thread_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Begin to watch a measurement that computes with ``num_threads``."""
        self._num_threads = num_threads
        self._num_processors = num_processors or os.cpu_count() or 1
        self._read_used, self._clocks = read_used or read_used_of_linux, (clock, own_clock)
        self._thread_clock = thread_clock
        self._used = self._read_used()
        self._began = clock(), own_clock(), thread_clock()

    def read(self, spread: float) -> Load:
        """Return what went on, where the 95th percentile is ``spread`` times the median."""
        clock, own_clock = self._clocks
        seconds = max(1e-9, clock() - self._began[0])
        own, thread = own_clock() - self._began[1], self._thread_clock() - self._began[2]
        used, before = self._read_used(), self._used
        reasons, others = [], None
        if used is not None and before is not None and used.busy > before.busy:
            others = max(0.0, used.busy - before.busy - own) / seconds
            steal = (used.steal - before.steal) / seconds / self._num_processors
            throttled = (used.throttled - before.throttled) / seconds
            is_shared = others + self._num_threads > _BUSY_SHARE * self._num_processors
            if others > _LEAST_OTHERS and is_shared:
                reasons.append(
                    f"other processes kept {others:.1f} of {self._num_processors} processors busy"
                )
            if steal > _MOST_STEAL:
                reasons.append(f"the host took {steal:.0%} of the processors' time")
            if throttled > _MOST_THROTTLED:
                reasons.append(f"the container was held back {throttled:.0%} of the time")
        waited = 1 - thread / seconds
        if self._num_threads == 1 and waited > _MOST_WAITED:
            reasons.append(f"the measurement waited {waited:.0%} of the time for a processor")
        if spread > _MOST_SPREAD:
            reasons.append(f"the 95th percentile is {spread:.1f} times the median")
        is_busy = bool(reasons) if reasons or others is not None else None
        return Load(is_busy, "; ".join(reasons), others)


def read_used_of_linux() -> Used | None:
    """Return what all processors have done, or None where nobody says."""
    try:
        first = _STAT.read_text().split("\n", 1)[0].split()
        ticks = os.sysconf("SC_CLK_TCK")
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, first[1:9])
    except (OSError, ValueError):
        return None
    busy = (user + nice + system + irq + softirq) / ticks
    return Used(busy, steal / ticks, _throttled_seconds())


def _throttled_seconds() -> float:
    try:
        lines = dict(line.split() for line in _CGROUP.read_text().splitlines())
        return int(lines.get("throttled_usec", 0)) / 1e6
    except (OSError, ValueError):
        return 0.0
