"""One kill of each kind that loses most; ``make chaos N=100`` does more, on PostgreSQL and S3."""

import random
from collections.abc import Iterator

import pytest

from tests.chaos.experiment import Experiment, experimenting

SEED = 20


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Experiment]:
    with experimenting(tmp_path_factory.mktemp("chaos") / "data") as found:
        yield found


@pytest.mark.parametrize("victim", ["job", "worker", "all"])
def test_a_killed_part_costs_time_and_nothing_else(experiment: Experiment, victim: str) -> None:
    moment = random.Random(f"{SEED} {victim}").uniform(0.15, 0.6)  # noqa: S311
    assert not experiment.run(victim, moment)
