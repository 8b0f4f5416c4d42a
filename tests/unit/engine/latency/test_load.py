"""Load is detected from other processes' CPU time, from waiting, or from the spread of calls."""

from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

import pytest

from secateur.engine.latency.load import Load, LoadMeter, Used, read_used_of_linux


def read(
    before: Used | None,
    after: Used | None,
    *,
    thread: float = 10.0,
    machine: tuple[int, int] = (2, 1),
    spread: float = 1.2,
) -> Load:
    """Return the load of ten seconds; ``machine`` is (processors, threads of the measurement)."""
    meter = LoadMeter(
        num_threads=machine[1],
        num_processors=machine[0],
        read_used=answers(before, after),
        clock=answers(0.0, 10.0),
        own_clock=answers(0.0, 10.0),
        thread_clock=answers(0.0, thread),
    )
    return meter.read(spread)


def answers(*values: Any) -> Callable[[], Any]:
    left = chain(values, repeat(values[-1]))
    return lambda: next(left)


START = Used(1000.0, 5.0, 3.0)


def after(busy: float, steal: float = 0.0, throttled: float = 0.0) -> Used:
    return Used(START.busy + busy, START.steal + steal, START.throttled + throttled)


def test_an_idle_machine_is_not_busy() -> None:
    assert read(START, after(10.8)) == Load(is_busy=False, reason="", others=pytest.approx(0.08))


def test_another_process_on_the_other_core_is_load() -> None:
    found = read(START, after(20.0))
    assert found.is_busy
    assert found.reason == "other processes kept 1.0 of 2 processors busy"


def test_one_other_process_is_no_load_on_many_cores() -> None:
    assert read(START, after(20.0), machine=(16, 1)).is_busy is False
    assert read(START, after(130.0), machine=(16, 1)).is_busy


def test_steal_and_throttling_are_load() -> None:
    assert "the host took 10%" in read(START, after(10.0, steal=2.0)).reason
    assert "throttled 30% of the time" in read(START, after(10.0, throttled=3.0)).reason


@pytest.mark.parametrize("used", [None, Used(0.0, 0.0, 0.0)], ids=["not Linux", "hidden"])
def test_load_is_unknown_if_the_system_reports_nothing(used: Used | None) -> None:
    assert read(used, used) == Load(is_busy=None)
    assert "waited 40% of the time" in read(used, used, thread=6.0).reason
    assert "14.0 times the median" in read(used, used, spread=14.0).reason


def test_threads_waiting_for_each_other_are_no_load() -> None:
    assert read(START, after(10.0), thread=3.0, machine=(4, 2)).is_busy is False


def test_cpu_time_of_this_system_is_read() -> None:
    found = read_used_of_linux()
    assert found is None or found.busy >= 0
