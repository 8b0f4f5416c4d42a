"""Calls of the object store: as long as there is time, and somebody who waits."""

import threading
import time

import pytest

from app.contracts.errors import UnavailableError
from worker.time_limit import InterruptedAttemptError, TimeLimit


def test_a_call_returns_its_value_or_raises_its_error() -> None:
    limit = TimeLimit(10, lambda: False)
    assert limit.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        limit.run(lambda: 1 / 0)
    with pytest.raises(TimeoutError):  # its own, not ours
        limit.run(raise_timeout)


def raise_timeout() -> None:
    raise TimeoutError


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_call_that_does_not_end_is_left_behind(*, is_cancelled: bool) -> None:
    began, is_released = time.monotonic(), threading.Event()
    limit = TimeLimit(
        60 if is_cancelled else 0.3, lambda: is_cancelled and time.monotonic() - began > 0.3
    )
    error = InterruptedAttemptError if is_cancelled else UnavailableError
    with pytest.raises(error):
        limit.run(lambda: is_released.wait(30))
    assert time.monotonic() - began < 5
    is_released.set()


def test_nothing_is_called_once_the_time_is_over() -> None:
    called = []
    with pytest.raises(UnavailableError, match="longer than 0 s"):
        TimeLimit(0, lambda: False).run(lambda: called.append(1))
    assert not called
