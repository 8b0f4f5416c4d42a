"""The share of one tenant: a fraction of what the others leave free."""

import pytest

from app.http.shares import Shares


def fill(shares: Shares, tenant: str) -> int:
    """Take as much as a tenant gets, one by one."""
    while shares.held(tenant) < shares.most(tenant) and shares.free:
        shares.add(tenant, 1)
    return shares.held(tenant)


def test_some_are_always_left_for_the_next_tenant() -> None:
    shares = Shares(1200, 0.5)
    found = [fill(shares, name) for name in "abcd"]
    assert found == [600, 300, 150, 75]
    shares.add("a", -600)
    assert fill(shares, "b") == 487
    assert shares.free > 0


def test_tenants_that_come_and_go_get_equal_parts() -> None:
    shares = Shares(1200, 0.5)
    for _ in range(100):
        for name in "abc":
            held = shares.held(name)
            shares.add(name, -held)
            fill(shares, name)
    assert [shares.held(name) for name in "abc"] == pytest.approx([300, 300, 300], abs=5)


@pytest.mark.parametrize(("capacity", "share", "most"), [(1, 0.5, 1), (3, 0.5, 1), (3, 1, 3)])
def test_one_is_always_allowed(capacity: int, share: float, most: int) -> None:
    assert fill(Shares(capacity, share), "a") == most


def test_what_is_given_back_is_forgotten() -> None:
    shares = Shares(2, 0.5)
    shares.add("a", 1)
    shares.add("a", -1)
    assert (shares.free, shares._held) == (2, {})
