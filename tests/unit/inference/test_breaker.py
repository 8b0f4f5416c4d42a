"""What crashed the serving process is held back from its second crash on, longer each time."""

import pytest

from app.contracts.errors import RestartingError
from app.inference.breaker import Breaker


def test_the_second_crash_holds_a_model_back_and_each_further_one_twice_as_long() -> None:
    now = 1000.0
    breaker = Breaker(lambda: now)
    assert breaker.blame(["a", "a"]) == []
    breaker.check("a", "t")
    assert breaker.blame(["a", "b"]) == ["a"]
    with pytest.raises(RestartingError, match="held back for 30 s") as caught:
        breaker.check("a", "t")
    assert caught.value.retry_after_seconds == 30
    breaker.check("b", "t")
    now += 31
    breaker.check("a", "t")
    assert breaker.blame(["a"]) == ["a"]
    now += 59
    with pytest.raises(RestartingError, match="held back for 1 s"):
        breaker.check("a", "t")
    now += 700
    assert breaker.blame(["a"]) == [], "long ago is forgotten"
    breaker.check("a", "t")


def test_a_tenant_with_a_new_file_for_each_crash_is_held_back_and_others_are_not() -> None:
    now = 1000.0
    breaker = Breaker(lambda: now)
    for number in range(3):
        assert breaker.blame([f"file {number}"], "evil") == []
    breaker.check("another file", "evil")
    breaker.blame(["file 3"], "evil")
    with pytest.raises(RestartingError, match="this tenant's models or images crashed"):
        breaker.check("another file", "evil")
    breaker.check("another file", "good")
    now += 31
    breaker.check("another file", "evil")
