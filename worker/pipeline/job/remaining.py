"""How long a job still takes, from its last epoch of training steps; pure but for the times given.

Only steps count as steps: a range test, a search for widths or a validation before the first step
says nothing about their speed. What follows training is small and taken from the stages before it.
"""

from collections import deque
from itertools import pairwise

from app.contracts.job import Stage

_FEWEST_STEPS = 5  # the first ones plan memory, and are slow
_LEAST_WINDOW_SECONDS = 10.0  # short epochs are looked at together
_LEAST_GAP_SECONDS, _LEAST_GAP_SHARE = 0.1, 0.005  # between points that are remembered
_LEAST_LEFT = 0.05  # of a part that takes longer than the one before

_SETTLING = 0.3  # of the stage prune, at the end of training: two evaluations


class Remaining:
    """Watches the steps of a job's trainings.

    A job may train several times: trials of a search, baselines. Each is a part of its stage.
    """

    def __init__(self) -> None:
        self._points: deque[tuple[int, float]] = deque()  # (step, when it had been made), thinned
        self._newest: tuple[int, float] | None = None
        self._cycle = self._num_steps = 0
        self._part_began: float | None = None
        self._overhead = 0.0  # of this part, before its first step
        self._last: tuple[float, float] | None = None  # (seconds, share of the stage): of a part

    def begin_part(self, now: float) -> None:
        """Note that steps, if there were any, are over, and something else has begun."""
        self._points.clear()
        self._newest, self._part_began, self._overhead = None, now, 0.0

    def step(self, now: float, step: int, num_steps: int, cycle: int) -> None:
        """Note that a step has been made.

        Args:
            now: When.
            step: Which, from 1.
            num_steps: Of this training.
            cycle: Steps from one validation to the next.
        """
        self._num_steps, self._cycle = num_steps, max(1, cycle)
        points, before, newest = self._points, self._newest, (step, now)
        if before is not None and step <= before[0]:  # training started over
            points.clear()
        is_validated = before is not None and step > self._next_validation(before[0])
        if points and is_validated and step - points[0][0] < self._cycle:
            points.clear()  # a validation in less than an epoch would weigh too much
        if not points:
            points.append(newest)
            if self._newest is None and self._part_began is not None:
                self._overhead = now - self._part_began
        elif is_validated or len(points) < _FEWEST_STEPS or self._is_gap(now):
            if is_validated and before is not None and points[-1] != before:
                points.append(before)  # the time between the two is the validation's
            points.append(newest)
            self._newest = newest
            first = self._first_of_window()
            while len(points) > 2 and points[1][0] <= first:  # noqa: PLR2004
                points.popleft()
        self._newest = newest

    def of_training(self, now: float, low: float, high: float) -> float | None:
        """Return how long the trainings of a stage still take.

        Args:
            now: The present.
            low: Where in its stage the present part begins, from 0 to 1.
            high: Where it ends.

        Returns:
            Seconds; None while there have been too few steps to say.
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
        """Return the seconds of a step, validations shared among them."""
        if self._newest is None or self._newest[0] - self._points[0][0] < _FEWEST_STEPS:
            return None
        step, now = self._newest
        first = self._first_of_window()
        if first < self._points[0][0]:  # not a whole epoch: a few slow steps would weigh too much
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
        """Return the step that whole epochs ago had been made."""
        assert self._newest is not None  # noqa: S101  # asked for after a step
        step, now = self._newest
        back = self._cycle
        if step - back > self._points[0][0]:
            seconds = now - self._time_of(step - back)
            back *= max(1, round(_LEAST_WINDOW_SECONDS / max(seconds, 1e-3)))
            back = min(back, (step - self._points[0][0]) // self._cycle * self._cycle)
        return step - back

    def _time_of(self, step: int) -> float:
        """Return when a step had been made, between the points that are remembered."""
        assert self._newest is not None  # noqa: S101  # asked for after a step
        before = self._points[0]
        for point in (*self._points, self._newest):
            if point[0] >= step:
                share = (step - before[0]) / max(1, point[0] - before[0])
                return before[1] + share * (point[1] - before[1])
            before = point
        return before[1]

    def _next_validation(self, step: int) -> int:
        """Return the step after which the next validation is made."""
        return -(-step // self._cycle) * self._cycle

    def _is_gap(self, now: float) -> bool:
        passed = now - self._points[0][1]
        return now - self._points[-1][1] >= max(_LEAST_GAP_SECONDS, _LEAST_GAP_SHARE * passed)


def after_training(stage: Stage, elapsed: float, prune_seconds: float) -> float:
    """Return how long the rest of a job takes but for its training steps.

    Args:
        stage: The present stage.
        elapsed: Seconds since it began.
        prune_seconds: What the stage prune took.
    """
    expected = {each: each.tail[0] + each.tail[1] * prune_seconds for each in Stage if each.tail}
    if stage not in expected:
        return sum(expected.values()) + _SETTLING * prune_seconds
    stages = list(expected)
    later = sum(expected[name] for name in stages[stages.index(stage) + 1 :])
    return max(expected[stage] - elapsed, _LEAST_LEFT * elapsed) + later
