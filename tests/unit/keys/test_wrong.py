"""Wrong keys are counted by address, by a clock that the test moves."""

import pytest

from app.contracts.errors import WrongKeysError
from app.keys.wrong import _MOST_ADDRESSES, WrongKeys, address_of


def is_refused(wrong: WrongKeys, address: str) -> bool:
    try:
        wrong.refuse(address)
    except WrongKeysError:
        return True
    return False


def test_an_address_may_send_a_number_of_wrong_keys_in_a_minute() -> None:
    now = 100.0
    wrong = WrongKeys(6, lambda: now)
    for _ in range(6):
        assert not is_refused(wrong, "a")
        wrong.count("a")
    with pytest.raises(WrongKeysError, match="6 wrong API keys came from a") as caught:
        wrong.refuse("a")
    assert caught.value.retry_after_seconds == pytest.approx(10)
    assert not is_refused(wrong, "b")
    now += 9.9
    assert is_refused(wrong, "a")
    now += 0.2
    assert not is_refused(wrong, "a")
    wrong.count("a")
    assert is_refused(wrong, "a")
    now += 60
    assert not is_refused(wrong, "a")


def test_what_is_remembered_of_addresses_is_bounded() -> None:
    wrong = WrongKeys(1, lambda: 0.0)
    for number in range(_MOST_ADDRESSES + 100):
        wrong.count(str(number))
    assert len(wrong._used) == _MOST_ADDRESSES
    assert is_refused(wrong, str(_MOST_ADDRESSES))  # the oldest are forgotten
    assert not is_refused(wrong, "0")


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::", 5), "2001:db8:1:2::/64"),
        (("::ffff:192.0.2.1", 5), "::ffff:192.0.2.1"),
        (("", 0), ""),
        (None, ""),
    ],
)
def test_an_address_of_ipv6_is_a_network(client: tuple[str, int] | None, address: str) -> None:
    assert address_of({"client": client}) == address
