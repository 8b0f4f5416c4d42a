"""Two files timed in turns: the speedup has an interval, and noise is not a speedup."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from secateur.engine import measure
from secateur.engine.measure import Comparison, compare_latency


class Clock:
    """Clock that advances only while sessions run."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Session:
    """Session whose calls take given times."""

    provider = "CPUExecutionProvider"

    def __init__(self, clock: Clock, seconds: Iterator[float]) -> None:
        self._clock, self._seconds = clock, seconds

    def feeds(self, _example: list[object]) -> dict[str, object]:
        return {}

    def run(self, _feeds: dict[str, object]) -> None:
        self._clock.now += next(self._seconds)


def timed(
    monkeypatch: pytest.MonkeyPatch, *files: Iterator[float], seconds: float = 1.0
) -> tuple[Comparison, float]:
    """Return the comparison of files whose calls take these times, and its duration."""
    clock = Clock()
    sessions = [Session(clock, file) for file in files]
    monkeypatch.setattr(measure, "time", clock)
    monkeypatch.setattr(measure, "OnnxSession", lambda path, *_: sessions[int(path.name)])
    paths = [Path(str(index)) for index in range(len(files))]
    return compare_latency(paths, (), (1,), seconds=seconds), clock.now


def test_a_file_that_is_twice_as_fast_has_a_speedup_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    found, took = timed(monkeypatch, itertools.repeat(0.004), itertools.repeat(0.002))
    [[speedup]] = found.speedups
    assert speedup.ratio == pytest.approx(2.0)
    assert 1.9 < speedup.low < 2.0 < speedup.high < 2.1
    assert speedup.is_measurable
    assert speedup.num_rounds in {20, 21}
    assert took < 1.2
    assert [each.p50_seconds for each in (*found.latencies[0], *found.latencies[1])] == (
        pytest.approx([0.004, 0.002])
    )


def test_a_machine_that_slows_down_does_not_change_the_speedup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slowing(seconds: float) -> Iterator[float]:
        return (seconds * (1 + call / 50) for call in itertools.count())

    found, _ = timed(monkeypatch, slowing(0.004), slowing(0.002))
    assert found.speedups[0][0].ratio == pytest.approx(2.0, rel=0.02)


def test_one_slow_call_in_eleven_changes_only_the_tail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = itertools.cycle([0.002] * 10 + [0.028])
    found, _ = timed(monkeypatch, itertools.repeat(0.004), slow)
    assert found.speedups[0][0].ratio == pytest.approx(2.0)
    assert found.latencies[1][0].p95_seconds == pytest.approx(0.028)
    assert found.load.is_busy
    assert "14.0 times the median" in found.load.reason


def test_noise_is_measured_longer_and_is_not_a_speedup(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whole rounds of one file or the other are disturbed.
    bursts = itertools.cycle([0.002] * 60 + [0.004] * 70)
    others = itertools.cycle([0.004] * 50 + [0.002] * 40)
    found, took = timed(monkeypatch, bursts, others)
    [[speedup]] = found.speedups
    assert not speedup.is_measurable
    assert speedup.num_rounds > 21
    assert 1.3 < took < 3.0


def test_a_call_after_another_file_s_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def cold_first(warm: float, cold: float) -> Iterator[float]:
        yield from itertools.repeat(cold, 4)  # before the turns
        yield from itertools.cycle([cold, warm])

    found, _ = timed(monkeypatch, cold_first(0.008, 0.009), cold_first(0.003, 0.004))
    [[speedup]] = found.speedups
    assert speedup.ratio == pytest.approx(8 / 3)
    assert found.latencies[1][0].p95_seconds == pytest.approx(0.003)


def test_slow_files_are_called_only_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    found, took = timed(monkeypatch, itertools.repeat(30.0), itertools.repeat(10.0))
    assert found.speedups[0][0].num_rounds == 6
    assert found.speedups[0][0].low > 2.8
    assert took == pytest.approx(8 * 40)
