import pytest

from app.contracts.errors import InvalidInputError
from app.contracts.spec import BudgetSelection
from app.sweeps.grid import expand

BASE = {"selection": {"mode": "budget", "macs": 0.9}, "retrain": {"epochs": 1}}


def test_points_are_the_cross_product_and_the_last_key_varies_fastest() -> None:
    points = expand(BASE, {"/selection/macs": [0.5, 0.25], "/criterion/kind": ["l1", "l2"]})
    assert [tuple(point.values.values()) for point in points] == [
        (0.5, "l1"), (0.5, "l2"), (0.25, "l1"), (0.25, "l2"),
    ]  # fmt: skip
    last = points[-1].config
    assert isinstance(last.selection, BudgetSelection)
    assert (last.selection.macs, last.criterion.kind, last.retrain.epochs) == (0.25, "l2", 1)
    assert points[0].sent["selection"] == {"mode": "budget", "macs": 0.5}
    assert BASE["selection"] == {"mode": "budget", "macs": 0.9}, "the base is left alone"


def test_whole_parts_of_the_config_may_be_values() -> None:
    grid = {"/schedule": [{"kind": "one_shot"}, {"kind": "iterative", "rounds": 3}]}
    points = expand(BASE, grid)
    assert [point.config.schedule.kind for point in points] == ["one_shot", "iterative"]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "0 keys; 1 to 8"),
        ({f"/k{n}": [1] for n in range(9)}, "9 keys; 1 to 8"),
        ({"/seed": []}, "/seed has 0 values; 1 to 64"),
        ({"/seed": list(range(65))}, "/seed has 65 values; 1 to 64"),
        ({"/seed": list(range(64)), "/retrain/epochs": [1, 2, 3, 4, 5]}, "320 points; at most 256"),
        ({"seed": [1]}, "is not a JSON pointer"),
        ({"/seed/deep/er": [1]}, r"/config/seed"),
        ({"/criterion/kind": ["l1", "l3"]}, r'\{"/criterion/kind": "l3"\} is not a valid job'),
        ({"/criterion/kind": ["l1", "l1"]}, "two points give the same job"),
        ({"/selection/mode/x": [1]}, "leads through a value that has no keys"),
    ],
)
def test_a_grid_that_cannot_be_run_is_refused_whole(
    grid: dict[str, list[object]], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        expand(BASE, grid)


def test_pointers_are_unescaped() -> None:
    points = expand(BASE, {"/selection/layers/a~1b~0c*/max_ratio": [0.1, 0.2]})
    assert list(points[1].config.selection.layers) == ["a/b~c*"]


def test_a_bad_point_is_named_by_pointers_into_the_grid() -> None:
    with pytest.raises(InvalidInputError) as caught:
        expand(BASE, {"/seed": [0, 1], "/selection/macs": [0.5, 7]})
    assert [detail.pointer for detail in caught.value.details] == [
        "/config/selection/macs", "/grid/~1seed/0", "/grid/~1selection~1macs/1",
    ]  # fmt: skip


def test_two_points_that_are_the_same_job_are_both_named() -> None:
    with pytest.raises(InvalidInputError) as caught:
        expand(BASE, {"/seed": [0, 1, 0.0]})
    assert [detail.pointer for detail in caught.value.details] == [
        "/grid/~1seed/0", "/grid/~1seed/2",
    ]  # fmt: skip
