"""The order of a search's trials, with quality as a function of the share of the cost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.contracts.report import AccuracyTrial
from app.contracts.spec import AccuracySelection
from worker.pipeline.selecting.search import bisect, guided
from worker.pipeline.selecting.trials import Trials

MAX_DROP = 0.01
LOW = 0.05

Drop = Callable[[float], float | None]


@dataclass
class Network:
    """Trials of a network whose drops are known."""

    repaired_drop: Drop
    trained_drop: Drop
    done: list[AccuracyTrial] = field(default_factory=list)

    @property
    def spec(self) -> AccuracySelection:
        return AccuracySelection(mode="accuracy", max_drop=MAX_DROP)

    @property
    def inputs(self) -> Any:
        return SimpleNamespace(reporter=SimpleNamespace(part=part))

    def repaired(self, share: float) -> AccuracyTrial:
        return self._trial(share, self.repaired_drop(share), is_trained=False)

    def trained(self, share: float) -> AccuracyTrial:
        return self._trial(share, self.trained_drop(share), is_trained=True)

    def _trial(self, share: float, drop: float | None, *, is_trained: bool) -> AccuracyTrial:
        is_kept = drop is not None and drop <= MAX_DROP
        trial = AccuracyTrial(asked=share, macs=share, params=share, validation_metric=None,
                              drop=drop, is_kept=is_kept, is_trained=is_trained)  # fmt: skip
        self.done.append(trial)
        return trial

    @property
    def num_trained(self) -> int:
        return sum(trial.is_trained for trial in self.done)


@contextmanager
def part(*_: object, **__: object) -> Iterator[None]:
    yield


def found(network: Network) -> AccuracyTrial | None:
    return guided(cast("Trials", network), LOW)


def lacking(scale: float) -> Drop:
    return lambda share: scale * (1 - share) ** 2


def test_training_that_wins_back_most_is_needed_once() -> None:
    network = Network(lacking(0.2), lacking(0.02))
    kept = found(network)
    assert kept is not None
    assert (kept.is_trained, kept.is_kept, network.num_trained) == (True, True, 1)
    assert kept.asked < 0.6, "without training, 0.78 is the narrowest within the limit"


@pytest.mark.parametrize("scale", [0.06, 0.1, 0.19])
def test_training_that_wins_back_less_is_needed_twice(scale: float) -> None:
    network = Network(lacking(0.2), lacking(scale))
    kept = found(network)
    assert kept is not None
    assert kept.is_kept
    assert network.num_trained == 2
    first, second = (trial for trial in network.done if trial.is_trained)
    assert second.asked > first.asked, "a wider network is trained next"


@pytest.mark.parametrize(
    ("repaired", "trained"),
    [
        (lambda _: 0.9, lambda share: 0.0 if share > 0.4 else 0.5),
        (lambda share: 0.05 if share < 0.9 else 0.005, lambda share: 0.5 if share < 0.95 else 0.0),
        (lambda _: 0.0, lambda share: None if share < 0.6 else 0.002),
    ],
    ids=["repair fails", "repair misleads twice", "training diverges"],
)
def test_the_promise_is_kept_by_the_trained_network_whatever_repair_foretells(
    repaired: Drop, trained: Drop
) -> None:
    network = Network(repaired, trained)
    kept = found(network)
    assert kept is not None
    assert kept.is_trained
    assert kept.is_kept
    assert trained(kept.asked) == kept.drop


def test_a_search_without_any_network_within_the_limit_finds_none() -> None:
    network = Network(lambda _: 0.5, lambda _: 0.4)
    assert found(network) is None
    assert network.num_trained == network.spec.max_trials


def test_the_narrowest_network_within_the_limit_is_found_without_training() -> None:
    network = Network(lacking(0.1), lacking(0.0))
    trials = cast("Trials", network)
    kept = bisect(trials, trials.repaired, MAX_DROP, LOW)
    assert kept is not None
    assert network.num_trained == 0
    assert kept.asked == min(trial.asked for trial in network.done if trial.is_kept)
