"""Load on the machine during a measurement, to tell whether other processes disturbed it.

Linux reports the CPU time of all processes, and the time stolen by the host or throttled. On any
system, the thread's CPU clock shows how long it waited. Where neither is available, the load is
unknown.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_BUSY_SHARE = 0.75  # share of processors used by this and other processes that counts as busy
_MIN_OTHERS = 0.2  # processors; an idle system uses less
_MAX_STEAL, _MAX_WAITED, _MAX_THROTTLED = 0.02, 0.1, 0.02  # shares of the time
_MAX_SPREAD = 2.0  # 95th percentile over median
_STAT, _CGROUP = Path("/proc/stat"), Path("/sys/fs/cgroup/cpu.stat")


@dataclass(frozen=True)
class Load:
    """Load on the machine during a measurement.

    Attributes:
        is_busy: Whether the measurement was disturbed; None if unknown.
        reason: Cause of the disturbance, as text; empty if there is none.
        others: Average number of processors used by other processes; None if unknown.
    """

    is_busy: bool | None
    reason: str = ""
    others: float | None = None


class Used(NamedTuple):
    """CPU seconds of all processors since boot; throttled time is the container's."""

    busy: float
    steal: float
    throttled: float


class LoadMeter:
    """Compares the machine's CPU time with this process's, from construction to `read`."""

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
        """Start watching a measurement that uses ``num_threads``."""
        self._num_threads = num_threads
        self._num_processors = num_processors or os.cpu_count() or 1
        self._read_used, self._clocks = read_used or read_used_of_linux, (clock, own_clock)
        self._thread_clock = thread_clock
        self._used = self._read_used()
        self._began = clock(), own_clock(), thread_clock()

    def read(self, spread: float) -> Load:
        """Return the load since construction; ``spread`` is the 95th percentile over the median."""
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
            if others > _MIN_OTHERS and is_shared:
                reasons.append(
                    f"other processes kept {others:.1f} of {self._num_processors} processors busy"
                )
            if steal > _MAX_STEAL:
                reasons.append(f"the host took {steal:.0%} of the processors' time")
            if throttled > _MAX_THROTTLED:
                reasons.append(f"the container was throttled {throttled:.0%} of the time")
        waited = 1 - thread / seconds
        if self._num_threads == 1 and waited > _MAX_WAITED:
            reasons.append(f"the measurement waited {waited:.0%} of the time for a processor")
        if spread > _MAX_SPREAD:
            reasons.append(f"the 95th percentile is {spread:.1f} times the median")
        is_busy = bool(reasons) if reasons or others is not None else None
        return Load(is_busy, "; ".join(reasons), others)


def read_used_of_linux() -> Used | None:
    """Return the CPU time from ``/proc/stat`` and the cgroup, or None on other systems."""
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
