from hypothesis import given
from hypothesis import strategies as st

from app.records.pareto import pareto_front

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


def is_beaten(point: tuple[float, float], by: tuple[float, float]) -> bool:
    return by[0] <= point[0] and by[1] >= point[1] and by != point


@given(POINTS)
def test_the_front_has_the_points_that_no_other_dominates(
    points: list[tuple[float, float]],
) -> None:
    expected = [not any(is_beaten(point, other) for other in points) for point in points]
    assert pareto_front(points) == expected


def test_equal_points_stand_side_by_side() -> None:
    assert pareto_front([(1, 2), (1, 2), (2, 2), (0, 1)]) == [True, True, False, True]
