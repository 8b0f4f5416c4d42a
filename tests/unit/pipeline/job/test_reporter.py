"""Estimates of the remaining time against the real time, with the test's own clock."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from app.contracts.job import Stage
from app.contracts.spec import PruneConfig
from worker.messages import Progress
from worker.pipeline.job.reporter import AnyMessage, Reporter

_TAIL_SECONDS = 15.0  # verify, export and package of the jobs below


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Listening(Reporter):
    told: list[tuple[float, float, Progress]] = field(default_factory=list)
    epoch: float = 0.0

    def send(self, message: AnyMessage) -> None:
        if isinstance(message, Progress):
            self.told.append((self.clock(), self.epoch, message))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reporter(clock: Clock) -> Listening:
    return Listening(-1, clock=clock)


def train(
    reporter: Listening,
    clock: Clock,
    seconds_a_step: Callable[[int], float],
    *,
    num_epochs: int = 8,
    validation: float = 0.0,
    first: int = 1,
) -> None:
    cycle = 40
    total = num_epochs * cycle
    for step in range(first, total + 1):
        clock.wait(seconds_a_step(step))
        reporter.epoch = step / cycle
        reporter.progress(step, total, "step", cycle=cycle)
        if step % cycle == 0:
            clock.wait(validation)


def begin_training(reporter: Listening, clock: Clock, range_test: float) -> None:
    for stage in (Stage.INTAKE, Stage.SALIENCY, Stage.SELECT, Stage.PRUNE):
        reporter.begin(stage)
        clock.wait(2.0)
    reporter.begin(Stage.RETRAIN)
    look_for_a_rate(reporter, clock, range_test)


def look_for_a_rate(reporter: Listening, clock: Clock, seconds: float) -> None:
    reporter.progress(0, 1, "looking for a learning rate", is_forced=True)
    clock.wait(seconds)


def end(reporter: Listening, clock: Clock) -> None:
    for stage, seconds in ((Stage.VERIFY, 2.0), (Stage.EXPORT, 12.0), (Stage.PACKAGE, 1.0)):
        reporter.begin(stage)
        clock.wait(seconds)


def misses(reporter: Listening, clock: Clock, since_epoch: float = 0.0) -> Iterator[float]:
    """Yield each estimate's error as a factor; in the last minute, as a share of it."""
    for now, epoch, message in reporter.told:
        if message.eta_seconds is not None and epoch > since_epoch:
            a, b = message.eta_seconds + 60.0 * (clock.now - now < 60.0), clock.now - now
            b += 60.0 * (b < 60.0)
            yield max(a / b, b / a)


@pytest.mark.parametrize("range_test", [0.0, 30.0, 600.0])
@pytest.mark.parametrize("step", [0.05, 1.0, 6.0])
@pytest.mark.parametrize("validation", [0.0, 20.0])
def test_the_range_test_is_no_step(
    reporter: Listening, clock: Clock, range_test: float, step: float, validation: float
) -> None:
    begin_training(reporter, clock, range_test)
    train(reporter, clock, lambda _: step, validation=validation)
    end(reporter, clock)
    assert max(misses(reporter, clock)) < 10
    assert max(misses(reporter, clock, since_epoch=1.2)) < 1.5


def test_no_remaining_time_is_reported_before_a_pace_is_known(
    reporter: Listening, clock: Clock
) -> None:
    begin_training(reporter, clock, 100.0)
    assert [message.eta_seconds for *_, message in reporter.told] == [None] * len(reporter.told)
    assert reporter.told[-1][2].elapsed_seconds == 8.0


def test_slow_first_steps_do_not_last(reporter: Listening, clock: Clock) -> None:
    begin_training(reporter, clock, 5.0)
    train(reporter, clock, lambda step: 8.0 if step <= 2 else 0.4)
    end(reporter, clock)
    assert max(misses(reporter, clock)) < 10
    assert max(misses(reporter, clock, since_epoch=1.2)) < 1.5


def test_a_slowdown_is_detected_within_an_epoch(reporter: Listening, clock: Clock) -> None:
    begin_training(reporter, clock, 5.0)
    train(reporter, clock, lambda step: 0.5 if step <= 120 else 1.5)
    end(reporter, clock)
    assert max(misses(reporter, clock, since_epoch=4.2)) < 1.5


def test_an_attempt_that_goes_on_in_the_middle_of_an_epoch(
    reporter: Listening, clock: Clock
) -> None:
    begin_training(reporter, clock, 0.0)
    train(reporter, clock, lambda _: 1.0, validation=25.0, first=119)
    end(reporter, clock)
    assert max(misses(reporter, clock)) < 2
    assert max(misses(reporter, clock, since_epoch=4.2)) < 1.5


def test_trials_of_a_search_are_all_counted(reporter: Listening, clock: Clock) -> None:
    selection = {"mode": "accuracy", "max_drop": 0.01}
    reporter.expect(PruneConfig.model_validate({"selection": selection}))
    for stage in (Stage.INTAKE, Stage.SALIENCY, Stage.SELECT):
        reporter.begin(stage)
        clock.wait(3.0)
    for number in range(5):
        with reporter.part(number, 5, "trial"):
            look_for_a_rate(reporter, clock, 40.0)
            reporter.epoch = 0.0
            train(reporter, clock, lambda _: 0.5, num_epochs=4)
    for stage in (Stage.PRUNE, Stage.RETRAIN):
        reporter.begin(stage)
        clock.wait(3.0)
    end(reporter, clock)
    assert max(misses(reporter, clock)) < 1.5


def test_baselines_are_counted_with_the_network_that_they_stand_beside(
    reporter: Listening, clock: Clock
) -> None:
    begin_training(reporter, clock, 0.0)
    reporter.told.clear()
    with reporter.part(0, 3, "retraining"):
        look_for_a_rate(reporter, clock, 30.0)
        train(reporter, clock, lambda _: 0.5)
    with reporter.part(1, 3, "baselines", num_parts=2):
        for number in range(2):
            with reporter.part(number, 2, "baseline"):
                look_for_a_rate(reporter, clock, 30.0)
                train(reporter, clock, lambda _: 0.5)
    end(reporter, clock)
    assert max(misses(reporter, clock)) < 1.5


def test_an_estimate_does_not_jump(reporter: Listening, clock: Clock) -> None:
    begin_training(reporter, clock, 10.0)
    train(reporter, clock, lambda step: 0.6 if step % 2 else 1.4, validation=10.0)
    ends = [
        now + message.eta_seconds
        for now, epoch, message in reporter.told
        if message.eta_seconds is not None and epoch > 1.5
    ]
    assert max(ends) - min(ends) < 0.1 * (clock.now + _TAIL_SECONDS - 1000.0)
