"""The number of epochs."""

import json
from pathlib import Path

import pytest

from app.contracts.epochs import epochs_by_data, num_runs
from app.contracts.spec import PruneConfig
from worker.pipeline.training.epochs import decide_epochs


@pytest.mark.parametrize(
    ("num_steps", "epochs"),
    [(1, 30), (6, 30), (25, 24), (100, 6), (430, 3), (1000, 3), (2000, 2), (4000, 1), (9000, 1)],
)
def test_the_number_of_epochs_depends_on_the_data(num_steps: int, epochs: int) -> None:
    assert epochs_by_data(num_steps) == epochs


def test_the_time_limit_caps_them_once_for_all_runs_and_attempts(tmp_path: Path) -> None:
    config, path = PruneConfig(), tmp_path / "epochs.json"
    found = decide_epochs(config, 25, 1000.0, lambda: 2.0, path)
    assert (found.num, found.by_data) == (12, 24)
    assert "cut to 12 by the time limit" in found.report("auto").reason
    again = decide_epochs(config, 25, 1.0, lambda: 100.0, path)
    assert again == found, "an attempt that goes on trains as the one before"
    assert json.loads(path.read_text())["num"] == 12
    least = decide_epochs(config, 25, 1.0, lambda: 100.0, tmp_path / "other.json")
    assert least.num == 1
    three = PruneConfig.model_validate({"baselines": True})
    assert decide_epochs(three, 25, 1000.0, lambda: 2.0, tmp_path / "third.json").num == 4


def test_a_search_leaves_time_for_the_trainings_that_it_may_need() -> None:
    search = {"selection": {"mode": "accuracy", "max_trials": 8}}
    unrepaired = {"repair": {"kind": "none"}}
    iterative = {"schedule": {"kind": "iterative"}}
    for config, expected in ((search, 3), (search | unrepaired, 8), (search | iterative, 8)):
        assert num_runs(PruneConfig.model_validate(config)) == expected


def test_epochs_that_are_given_are_trained(tmp_path: Path) -> None:
    config = PruneConfig.model_validate({"retrain": {"epochs": 7}})
    found = decide_epochs(config, 25, 1.0, lambda: 100.0, tmp_path / "epochs.json")
    assert found.num == 7
    assert found.report(7).reason == "as configured"
    assert not (tmp_path / "epochs.json").exists()
