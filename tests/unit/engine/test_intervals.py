"""Intervals against published numbers, and against how often they hold the truth."""

import random
from math import comb

import pytest

from secateur.engine.intervals import (
    difference_interval,
    mean_interval,
    median_interval,
    paired_share_interval,
    proportion_interval,
)


@pytest.mark.parametrize(
    ("hits", "samples", "low", "high"),
    [  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_shares_have_the_interval_of_wilson(
    hits: int, samples: int, low: float, high: float
) -> None:
    assert proportion_interval(hits, samples) == pytest.approx((low, high), abs=1e-4)


def test_no_samples_give_no_interval() -> None:
    assert proportion_interval(0, 0) == (0.0, 1.0)
    assert paired_share_interval(0, 0, 0) == (-1.0, 1.0)
    assert mean_interval(1.0, 1.0, 1) is None


def test_only_samples_that_one_of_the_two_has_right_tell_them_apart() -> None:
    low, high = paired_share_interval(10, 12, 400)
    assert low < 0 < high
    low, high = paired_share_interval(10, 40, 400)
    assert 0 < low < 0.075 < high
    assert paired_share_interval(40, 10, 400) == pytest.approx((-high, -low))
    wide = paired_share_interval(10, 12, 100)
    assert wide[1] - wide[0] > high - low


def test_independent_numbers_differ_if_their_intervals_are_far_apart() -> None:
    # Newcombe 1998, "Interval estimation for the difference", table II: 56/70 - 48/80
    before, after = proportion_interval(48, 80), proportion_interval(56, 70)
    found = difference_interval(48 / 80, before, 56 / 70, after)
    assert found == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_a_mean_has_the_interval_of_its_standard_error() -> None:
    values = [1.0, 2.0, 3.0, 4.0]
    found = mean_interval(sum(values), sum(v * v for v in values), 4)
    assert found == pytest.approx((2.5 - 1.2652, 2.5 + 1.2652), abs=1e-3)


def test_a_median_lies_between_values_that_are_far_enough_apart() -> None:
    assert median_interval(range(1, 21)) == (10.5, (6, 15))
    assert median_interval(range(1, 7)) == (3.5, (1, 6))
    assert median_interval([7.0]) == (7.0, (7.0, 7.0))
    outside = 2 * sum(comb(20, k) for k in range(6)) / 2**20
    assert outside < 0.05


def test_intervals_hold_the_truth_nineteen_times_in_twenty() -> None:
    draw = random.Random(0)  # noqa: S311  # no secret
    held = [0, 0, 0]
    for _ in range(400):
        pairs = [(draw.random() < 0.7, draw.random()) for _ in range(60)]
        # The second network is right where the first is, but for a tenth either way.
        second = [right != (u < 0.1) for right, u in pairs]
        lost = sum(a and not b for (a, _), b in zip(pairs, second, strict=True))
        won = sum(b and not a for (a, _), b in zip(pairs, second, strict=True))
        low, high = paired_share_interval(lost, won, 60)
        held[0] += low <= -0.04 <= high  # 0.1 of 0.7 lost, 0.1 of 0.3 won
        low, high = proportion_interval(sum(a for a, _ in pairs), 60)
        held[1] += low <= 0.7 <= high
        low, high = median_interval([draw.expovariate(1.0) for _ in range(20)])[1]
        held[2] += low <= 0.6931 <= high
    assert all(0.92 <= count / 400 <= 1.0 for count in held), held
