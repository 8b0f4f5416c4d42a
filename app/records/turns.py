"""Simulation of future claims: estimates when each queued job starts if no job is added.

Pure code, without database or clock. `line` reads the rows and calls `foresee`.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import NamedTuple

NEVER = float("-inf")  # time of the last claim of a tenant that was never served
_UNNAMED = ""  # id of the jobs behind those whose positions are computed
_ANY_SECONDS = 60.0  # stands in for an unknown duration: affects positions, never a wait


@dataclass(frozen=True)
class Waiting:
    """A queued job.

    Attributes:
        id: Job id.
        created_at: Time it was posted, in seconds since the epoch.
        seconds: Expected running time; None if unknown.
        due_in_seconds: Time until it may be claimed.
    """

    id: str
    created_at: float
    seconds: float | None
    due_in_seconds: float = 0.0


class Running(NamedTuple):
    """A running job and its expected remaining time; None if unknown."""

    tenant: str
    seconds_left: float | None


@dataclass(frozen=True)
class Foreseen:
    """Forecast for the current line.

    Attributes:
        positions: Number of jobs claimed before each queued job, by job id.
        waits: Seconds until each job starts, by job id; None if too little is known.
        wait_of_next: Wait in seconds of a job posted now; None if too little is known.
    """

    positions: dict[str, int]
    waits: dict[str, float | None]
    wait_of_next: float | None


def foresee(
    waiting: Mapping[str, Sequence[Waiting]],
    running: Sequence[Running],
    num_slots: int,
    most_running: int | None = None,
    served: Mapping[str, float] | None = None,
    num_more: Mapping[str, int] | None = None,
) -> Foreseen:
    """Estimate when each queued job is claimed.

    Args:
        waiting: Queued jobs by tenant, oldest first.
        running: Running jobs.
        num_slots: Number of jobs that the workers run at once; 0 if no worker is known.
        most_running: Maximum running jobs per tenant; None for no limit.
        served: When each tenant was last served; a tenant that is absent was never served.
        num_more: Number of jobs of each tenant behind those in ``waiting``. Jobs of others come
            behind them too, so as many of them are claimed as are known, at most.
    """
    play = _Play(waiting, running, most_running, served or {}, num_more or {})
    num_slots = max(num_slots, len(running))
    if num_slots == 0:  # capacity unknown: compute positions as if all were claimed now
        play.is_known = False
        num_slots = 2 * sum(map(len, waiting.values()))
    return play.to_end(num_slots - len(running))


class _Play:
    """State of the simulation."""

    def __init__(
        self,
        waiting: Mapping[str, Sequence[Waiting]],
        running: Sequence[Running],
        most_running: int | None,
        served: Mapping[str, float],
        num_more: Mapping[str, int],
    ) -> None:
        self.is_known = all(each.seconds_left is not None for each in running)
        self._jobs = {
            tenant: chain(jobs, _unnamed(jobs, num_more.get(tenant, 0)))
            for tenant, jobs in waiting.items()
        }
        self._num_left = sum(map(len, waiting.values()))
        self._num_claims = 0
        self._heads: dict[str, Waiting] = {}
        self._most = most_running
        self._numbers: defaultdict[str, int] = defaultdict(int)
        self._ends: list[tuple[float, str]] = []
        self._served = dict(served)
        self._now = max(served.values(), default=0.0)  # grows with every claim
        # Heap; stale entries are dropped in `_take`.
        self._turns: list[tuple[int, float, float, str]] = []
        for tenant, seconds in running:
            self._numbers[tenant] += 1
            self._ends.append((_ANY_SECONDS if seconds is None else seconds, tenant))
        heapq.heapify(self._ends)
        for tenant in self._jobs:
            self._step(tenant)
        self._found = Foreseen({}, {}, None)

    def to_end(self, num_idle: int) -> Foreseen:
        """Claim jobs one by one as slots become free; return the forecast."""
        now = 0.0
        while True:
            while num_idle and self._num_left and (job := self._take(now)) is not None:
                num_idle -= 1
                self._place(job, max(now, job.due_in_seconds) if self.is_known else None)
                # Once a job ends at an unknown time, later starts are unknown too.
                self.is_known = self.is_known and job.seconds is not None
            if not self._num_left or not self._ends:
                break
            now, num_idle = self._end(num_idle)
        if not num_idle and self._ends:
            now = max(now, self._ends[0][0])
        self._pass_rest()
        next_wait = round(now, 1) if self.is_known and not self._heads else None
        return Foreseen(self._found.positions, self._found.waits, next_wait)

    def _take(self, now: float) -> Waiting | None:
        """Claim the oldest job of the next tenant (`line.next_in_line`)."""
        while self._turns:
            number, _, _, tenant = self._turns[0]
            job = self._heads.get(tenant)
            if job is None or self._turns[0] != self._turn(tenant, job):
                heapq.heappop(self._turns)
                continue
            if self._most is not None and number >= self._most:
                return None
            self._numbers[tenant] += 1
            self._now += 1
            self._served[tenant] = self._now
            seconds = _ANY_SECONDS if job.seconds is None else job.seconds
            heapq.heappush(self._ends, (max(now, job.due_in_seconds) + seconds, tenant))
            self._step(tenant)
            return job
        return None

    def _end(self, num_idle: int) -> tuple[float, int]:
        """End the next running job; return the time and the number of free slots."""
        now, tenant = heapq.heappop(self._ends)
        self._numbers[tenant] -= 1
        self._offer(tenant)
        return now, num_idle + 1

    def _step(self, tenant: str) -> None:
        head = next(self._jobs[tenant], None)
        if head is None:
            self._heads.pop(tenant, None)
        else:
            self._heads[tenant] = head
            self._offer(tenant)

    def _offer(self, tenant: str) -> None:
        head = self._heads.get(tenant)
        if head is not None:
            heapq.heappush(self._turns, self._turn(tenant, head))

    def _turn(self, tenant: str, head: Waiting) -> tuple[int, float, float, str]:
        served_at = self._served.get(tenant, NEVER)
        return self._numbers[tenant], served_at, head.created_at, tenant

    def _pass_rest(self) -> None:
        """Append jobs that never get a slot because their tenants may run none."""
        if not self._num_left:
            return
        rest = [job for tenant, head in self._heads.items() for job in (head, *self._jobs[tenant])]
        for job in sorted(rest, key=lambda job: (job.created_at, job.id == _UNNAMED, job.id)):
            self._place(job, None)

    def _place(self, job: Waiting, wait: float | None) -> None:
        if job.id != _UNNAMED:
            self._found.positions[job.id] = self._num_claims
            self._found.waits[job.id] = None if wait is None else round(wait, 1)
            self._num_left -= 1
        self._num_claims += 1


def _unnamed(jobs: Sequence[Waiting], number: int) -> Iterator[Waiting]:
    """Yield jobs behind the last known one, as long as that; not many, as tenants take turns."""
    return repeat(replace(jobs[-1], id=_UNNAMED), min(number, len(jobs)))
