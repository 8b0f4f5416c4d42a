"""Positions of values and ticks on an axis."""

from hypothesis import given
from hypothesis import strategies as st

from app.drawing.scales import Scale, spanning

NUMBERS = st.floats(-1e12, 1e12, allow_nan=False)


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_a_scale_holds_its_values_and_ticks_in_order(values: list[float]) -> None:
    scale = spanning(values, 186, 14)
    assert all(14 <= scale.at(value) <= 186 for value in values)
    places = [tick.at for tick in scale.ticks()]
    assert places == sorted(places, reverse=True)
    assert all(14 <= place <= 186 for place in places)


def test_a_logarithmic_scale_has_a_tick_at_every_power_of_ten() -> None:
    scale = Scale(1e-5, 0.1, 0, 400, is_log=True)
    assert [(tick.at, tick.label) for tick in scale.ticks()] == [
        (0, "10⁻⁵"), (100, "10⁻⁴"), (200, "10⁻³"), (300, "10⁻²"), (400, "10⁻¹"),
    ]  # fmt: skip
