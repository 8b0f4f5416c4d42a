"""Which sweeps compare their points before training."""

from typing import Any

import pytest

from app.contracts.errors import InvalidInputError
from app.sweeps.grid import expand
from app.sweeps.judging import are_judged

BUDGET = {"selection": {"mode": "budget", "macs": 0.5}}
MACS = {"/selection/macs": [0.5, 0.25]}
ITERATIVE = {"schedule": {"kind": "iterative"}, **BUDGET}
UNJUDGED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({**BUDGET, "retrain": {"epochs": 0}}, MACS, "retrain.epochs 0"),
    (ITERATIVE, MACS, "iterative"),
    ({"selection": {"mode": "accuracy"}}, {"/selection/max_drop": [0.01, 0.02]}, "'accuracy'"),
    ({**BUDGET, "repair": {"kind": "fold"}}, MACS, "'fold'"),
    (BUDGET, {"/repair/kind": ["auto", "none"]}, "'none'"),
]


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        (MACS, True),
        ({**MACS, "/criterion/kind": ["l1", "l2"]}, True),
        ({**MACS, "/retrain/epochs": [1, 2]}, True),
        ({"/repair/ridge": [0.1, 0.01]}, True),
        ({"/retrain/epochs": [1, 2]}, False),  # all are the same before training
        ({**MACS, "/seed": [0, 1]}, False),  # a repetition, not a choice
        ({"/selection/macs": [0.5]}, False),  # nothing to compare with
    ],
)
def test_grids_over_what_is_cut_are_judged_before_training(
    grid: dict[str, Any], expected: bool
) -> None:
    points = expand(BUDGET, grid)
    assert are_judged(points, "auto", has_data=True) is expected
    assert are_judged(points, "front", has_data=True)
    assert not are_judged(points, "all", has_data=True)


@pytest.mark.parametrize(("config", "grid", "reason"), UNJUDGED)
def test_points_that_repair_cannot_judge_are_all_trained(
    config: dict[str, Any], grid: dict[str, Any], reason: str
) -> None:
    points = expand(config, grid)
    assert not are_judged(points, "auto", has_data=True)
    with pytest.raises(InvalidInputError, match=reason) as caught:
        are_judged(points, "front", has_data=True)
    assert caught.value.details[0].pointer.startswith("/grid/~1")


def test_without_data_there_is_nothing_to_judge_by() -> None:
    points = expand(BUDGET, MACS)
    assert not are_judged(points, "auto", has_data=False)
    with pytest.raises(InvalidInputError, match="no data set"):
        are_judged(points, "front", has_data=False)
