"""Curves thinned for events keep the cut visible."""

import json

import pytest

from app.contracts.layers import LayerSummary, PlanSummary, points_a_layer, thin


@pytest.mark.parametrize("width", [1, 2, 7, 64, 2048])
def test_ends_decile_and_cut_are_kept(width: int) -> None:
    saliency = [k**1.5 for k in range(width)]
    cut = width // 3
    found = thin(saliency, (cut - 1, cut), 12)
    positions = [k for k, _ in found]
    assert positions == sorted(set(positions))
    assert {0, width - 1} <= set(positions)
    assert cut in positions
    assert -(-9 * (width - 1) // 10) in positions  # rounded up
    assert len(found) <= 12 + 5
    for k, value in found:
        assert value == pytest.approx(saliency[k], rel=1e-4)


def test_marks_beside_the_curve_are_no_points() -> None:
    assert [k for k, _ in thin([1.0, 2.0], (-1, 5), 8)] == [0, 1]
    assert thin([], (0,), 8) == ()


@pytest.mark.parametrize("num_layers", [1, 20, 100, 1000])
def test_any_number_of_layers_makes_an_event_of_bounded_size(num_layers: int) -> None:
    curve = thin([1 / 3 + k for k in range(2048)], (700, 701), points_a_layer(num_layers))
    layer = LayerSummary(
        name="blocks.10.conv1.weight", num_groups=2048, num_kept=1347, num_wanted=701,
        threshold=1 / 3, reason="from filter 701 on the curve is steeper than 1", curve=curve,
    )  # fmt: skip
    plan = PlanSummary(criterion="l1", layers=(layer,) * num_layers)
    assert len(json.dumps(plan.model_dump(mode="json"))) < 90_000 + 600 * num_layers
