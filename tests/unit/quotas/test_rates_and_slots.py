"""Rates and slots that an API process counts itself, with the test's own clock."""

import pytest

from app.contracts.errors import TooManyUploadsError
from app.quotas.rates import Rates
from app.quotas.slots import Slots


def test_a_second_s_worth_may_come_at_once_and_then_an_even_rate() -> None:
    now = 50.0
    rates = Rates(4, lambda: now)
    assert [rates.take("a") for _ in range(5)] == [0, 0, 0, 0, 0.25]
    assert rates.take("b") == 0  # another tenant has its own
    now += 0.125
    assert rates.take("a") == pytest.approx(0.125)
    now += 0.125
    assert rates.take("a") == 0
    assert rates.take("a") == pytest.approx(0.25)
    now += 1000.0
    assert [rates.take("a") > 0 for _ in range(5)] == [False] * 4 + [True]


def test_what_was_not_used_does_not_pile_up() -> None:
    now = 0.0
    rates = Rates(2, lambda: now)
    rates.take("a")
    now = 3600.0
    assert rates.left("a") == 2


def test_a_slot_is_held_for_the_whole_block_even_if_it_fails() -> None:
    slots = Slots(2, lambda limit: TooManyUploadsError(f"{limit} are held"))
    with slots.hold("a"), slots.hold("a"), slots.hold("b"):
        assert (slots.used("a"), slots.used("b")) == (2, 1)
        with pytest.raises(TooManyUploadsError, match="2 are held"), slots.hold("a"):
            pass
        assert slots.used("a") == 2
    with pytest.raises(ZeroDivisionError), slots.hold("a"):
        raise ZeroDivisionError
    assert (slots.used("a"), slots.used("b")) == (0, 0)
