"""Remaining time of a job, estimated from the training steps of its last epoch. Reads no clock.

Only training steps set the pace. A range test, a search for widths or a validation before the first
step says nothing about it. The stages after training are short; earlier stages predict them.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from app.contracts.job import Stage

_FEWEST_STEPS = 5  # the first steps allocate memory and are slow
_LEAST_WINDOW_SECONDS = 10.0  # short epochs are averaged together
_LEAST_GAP_SECONDS, _LEAST_GAP_SHARE = 0.1, 0.005  # seconds between recorded points
_LEAST_LEFT = 0.05  # fraction assumed left of a part that takes longer than the previous one

_SETTLING = 0.3  # fraction of the prune stage's time: two evaluations after training


class Remaining:
    """Estimator of the time left, fed with training steps.

    A job may train several times: trials of a search, baselines. Each run is a part of its stage.
    """

    def __init__(self) -> None:
        self._points: deque[tuple[int, float]] = deque()  # (step, time it ended), thinned
        self._newest: tuple[int, float] | None = None
        self._cycle = self._num_steps = 0
        self._part_began: float | None = None
        self._overhead = 0.0  # seconds of this part before its first step
        self._last: tuple[float, float] | None = (
            None  # (seconds, share of the stage) of the last part
        )

    def begin_part(self, now: float) -> None:
        """Start a new part and forget the steps of the previous one."""
        self._points.clear()
        self._newest, self._part_began, self._overhead = None, now, 0.0

    def step(self, now: float, step: int, num_steps: int, cycle: int) -> None:
        """Record a training step.

        Args:
            now: Time the step ended.
            step: Number of the step, from 1.
            num_steps: Number of steps in this training run.
            cycle: Steps between validations.
        """
        self._num_steps, self._cycle = num_steps, max(1, cycle)
        points, before, newest = self._points, self._newest, (step, now)
        if before is not None and step <= before[0]:  # training started over
            points.clear()
        is_validated = before is not None and step > self._next_validation(before[0])
        if points and is_validated and step - points[0][0] < self._cycle:
            points.clear()  # less than an epoch would overweight the validation
        if not points:
            points.append(newest)
            if self._newest is None and self._part_began is not None:
                self._overhead = now - self._part_began
        elif is_validated or len(points) < _FEWEST_STEPS or self._is_gap(now):
            if is_validated and before is not None and points[-1] != before:
                points.append(before)  # the time between the two is validation
            points.append(newest)
            self._newest = newest
            first = self._first_of_window()
            while len(points) > 2 and points[1][0] <= first:  # noqa: PLR2004
                points.popleft()
        self._newest = newest

    def of_training(self, now: float, low: float, high: float) -> float | None:
        """Return the remaining time of a stage's training runs.

        Args:
            now: Current time.
            low: Start of the current part within its stage, from 0 to 1.
            high: End of the current part.

        Returns:
            Seconds; None before there are enough steps for an estimate.
        """
        pace = self._pace()
        if pace is not None and self._newest is not None:
            step, made_at = self._newest
            left = (self._num_steps - step) * pace - (now - made_at)
            whole = self._overhead + self._num_steps * pace
            self._last = (whole, high - low)
            return max(0.0, left) + whole * (1 - high) / (high - low)
        if self._last is None or self._part_began is None:
            return None
        whole, share = self._last
        left = max(whole - (now - self._part_began), _LEAST_LEFT * whole)
        return left + whole * max(0.0, (1 - low) / share - 1)

    def _pace(self) -> float | None:
        """Return the seconds per step, with validation time spread over the steps."""
        if self._newest is None or self._newest[0] - self._points[0][0] < _FEWEST_STEPS:
            return None
        step, now = self._newest
        first = self._first_of_window()
        if first < self._points[0][0]:  # under an epoch, a few slow steps would dominate
            return self._median_pace()
        return (now - self._time_of(first)) / (step - first)

    def _median_pace(self) -> float:
        assert self._newest is not None  # noqa: S101  # the caller has looked
        points = [*self._points, self._newest]
        paces = sorted(
            ((b[1] - a[1]) / (b[0] - a[0]), b[0] - a[0]) for a, b in pairwise(points) if b[0] > a[0]
        )
        half = sum(num_steps for _, num_steps in paces) / 2
        reached = 0
        for pace, num_steps in paces:
            reached += num_steps
            if reached >= half:
                return pace
        return paces[-1][0]

    def _first_of_window(self) -> int:
        """Return the step a whole number of epochs before the newest one."""
        assert self._newest is not None  # noqa: S101  # asked for after a step
        step, now = self._newest
        back = self._cycle
        if step - back > self._points[0][0]:
            seconds = now - self._time_of(step - back)
            back *= max(1, round(_LEAST_WINDOW_SECONDS / max(seconds, 1e-3)))
            back = min(back, (step - self._points[0][0]) // self._cycle * self._cycle)
        return step - back

    def _time_of(self, step: int) -> float:
        """Return the end time of a step, interpolated between recorded points."""
        assert self._newest is not None  # noqa: S101  # asked for after a step
        before = self._points[0]
        for point in (*self._points, self._newest):
            if point[0] >= step:
                share = (step - before[0]) / max(1, point[0] - before[0])
                return before[1] + share * (point[1] - before[1])
            before = point
        return before[1]

    def _next_validation(self, step: int) -> int:
        """Return the step after which the next validation runs."""
        return -(-step // self._cycle) * self._cycle

    def _is_gap(self, now: float) -> bool:
        passed = now - self._points[0][1]
        return now - self._points[-1][1] >= max(_LEAST_GAP_SECONDS, _LEAST_GAP_SHARE * passed)


def after_training(
    stage: Stage, elapsed: float, prune_seconds: float, present: Sequence[Stage]
) -> float:
    """Return the seconds left for the rest of a job, excluding training steps.

    Args:
        stage: Current stage.
        elapsed: Seconds since the stage began.
        prune_seconds: Seconds the prune stage took.
        present: Stages that the job has.
    """
    expected = {each: each.tail[0] + each.tail[1] * prune_seconds for each in present if each.tail}
    if stage not in expected:
        return sum(expected.values()) + _SETTLING * prune_seconds
    stages = list(expected)
    later = sum(expected[name] for name in stages[stages.index(stage) + 1 :])
    return max(expected[stage] - elapsed, _LEAST_LEFT * elapsed) + later
