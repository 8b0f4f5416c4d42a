"""Cost of a network: parameters, multiply-accumulates and measured latency.

Latency is measured on the exported file with ONNX Runtime, which also serves it. Dense and pruned
files take turns, so that a slowdown of the machine affects both. The other file has emptied the
caches by then, so an untimed call comes first: a network that is served alone finds its weights
there. Without it an int8 MobileNetV2 beside the dense network takes 0.49 of the latency, not 0.44.

A speedup has a confidence interval. Calls are made in short rounds, and each round has one ratio,
of the median times of its calls. Disturbances correlate within a round, so the interval is over
rounds, not calls (Georges, Buytaert and Eeckhout 2007, "Statistically rigorous Java performance
evaluation"). See `intervals.median_interval`.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from secateur.engine.export.session import CPU_PROVIDER, Feeds, OnnxSession
from secateur.engine.intervals import Interval, median_interval
from secateur.engine.latency.load import Load, LoadMeter
from secateur.engine.program.macs import mac_terms, num_macs
from secateur.engine.program.program import InputSpec, Program
from secateur.engine.program.shapes import num_analysed, propagate

_NUM_ROUNDS, _FEWEST_ROUNDS = 20, 6  # fewer than six have no 95 % interval
_NUM_WARM_UPS = 3  # the fastest sets the calls per round; a single one may be disturbed
_NARROW = 1.1  # ratio of an interval's ends that is narrow enough to stop
_MOST_TIMES, _MOST_TIMES_SLOW = 2.5, 20.0  # times `seconds`, for noisy and for slow files
# Two sessions of the same file differ by up to this factor while they are open, because of their
# memory placement (up to 3.8 % of a MobileNet's 1 ms). Repeating calls does not reveal it.
_SESSIONS_DIFFER = 1.04


class Timed(Protocol):
    """Something whose calls are timed."""

    def run(self, feeds: Feeds, /) -> object:
        """Compute the outputs once."""


@dataclass(frozen=True)
class Latency:
    """Latency of one call.

    Attributes:
        batch_size: Samples per call.
        num_threads: Threads of the session.
        provider: ONNX Runtime's execution provider.
        p50_seconds: Median wall-clock time of a call.
        p95_seconds: 95th percentile of the wall-clock time.
        num_runs: Number of timed calls.
    """

    batch_size: int
    num_threads: int
    provider: str
    p50_seconds: float
    p95_seconds: float
    num_runs: int


@dataclass(frozen=True)
class Speedup:
    """Speedup of a file over the first file.

    Attributes:
        batch_size: Samples per call.
        ratio: The first file's time divided by this file's; median over rounds.
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
        num_rounds: Number of rounds.
    """

    batch_size: int
    ratio: float
    low: float
    high: float
    num_rounds: int

    @property
    def is_measurable(self) -> bool:
        """Whether the interval excludes 1, equal speed."""
        return not self.low <= 1 <= self.high


@dataclass(frozen=True)
class Comparison:
    """Result of `compare_latency`.

    Attributes:
        latencies: Latencies of each file, one per batch size.
        speedups: Speedups of each file after the first, one per batch size.
        load: Other load on the machine during the measurement.
    """

    latencies: list[list[Latency]]
    speedups: list[list[Speedup]]
    load: Load


def count_parameters(program: Program) -> int:
    """Return the number of trained values (buffers such as running statistics do not count)."""
    return sum(tensor.numel() for tensor in program.parameters().values())


def count_macs(program: Program) -> int:
    """Return the multiply-accumulates of one sample, over convolutions and matrix products."""
    shapes = propagate(program)
    terms = mac_terms(program, shapes)
    return sum(num_macs(term, shapes) for term in terms) // num_analysed(program)


def compare_latency(
    paths: Sequence[Path],
    inputs: Sequence[InputSpec],
    batch_sizes: Sequence[int],
    *,
    num_threads: int = 1,
    provider: str = CPU_PROVIDER,
    seconds: float = 1.0,
) -> Comparison:
    """Time ONNX files in turns, one call of each after an untimed one.

    Args:
        paths: The files; all have the same inputs.
        inputs: Specifications of the inputs.
        batch_sizes: Batch sizes to time.
        num_threads: Threads inside one call.
        provider: Execution provider.
        seconds: Time per batch size, for all files together. Extended up to 2.5 times while an
            interval is wide, and up to 20 times for slow files.

    Raises:
        ExportError: ONNX Runtime cannot run a file, or cannot use the provider.
    """
    sessions = [OnnxSession(path, num_threads, provider) for path in paths]
    latencies: list[list[Latency]] = [[] for _ in paths]
    speedups: list[list[Speedup]] = [[] for _ in paths[1:]]
    generator = torch.Generator().manual_seed(0)
    spread, meter = 1.0, LoadMeter(num_threads)
    for batch_size in batch_sizes:
        example = [spec.example(batch_size, generator) for spec in inputs]
        feeds = [session.feeds(example) for session in sessions]
        rounds = _take_turns(sessions, feeds, seconds)
        for index, found in enumerate(latencies):
            used = sessions[index].provider
            latency = _latency(rounds, index, Latency(batch_size, num_threads, used, 0, 0, 0))
            spread = max(spread, latency.p95_seconds / max(latency.p50_seconds, 1e-9))
            found.append(latency)
        for index, ratios in enumerate(speedups, 1):
            ratio, (low, high) = _speedup(rounds, index)
            ratios.append(Speedup(batch_size, ratio, low, high, len(rounds)))
    return Comparison(latencies, speedups, meter.read(spread))


def time_beside(
    path: Path,
    other: Timed,
    inputs: Sequence[InputSpec],
    like: Latency,
    seconds: float = 1.0,
) -> tuple[Latency, Speedup]:
    """Time another runtime in turns with an ONNX file on the CPU.

    Args:
        path: The ONNX file.
        other: The other runtime; it takes the inputs as a list of tensors.
        inputs: Specifications of the inputs.
        like: Batch size, threads, and the other runtime's name as provider.
        seconds: As for `compare_latency`.

    Returns:
        The latency of the other runtime, and its speed relative to the file's.
    """
    session = OnnxSession(path, like.num_threads)
    generator = torch.Generator().manual_seed(0)
    example = [spec.example(like.batch_size, generator) for spec in inputs]
    rounds = _take_turns([session, other], [session.feeds(example), example], seconds)
    ratio, (low, high) = _speedup(rounds, 1)
    return _latency(rounds, 1, like), Speedup(like.batch_size, ratio, low, high, len(rounds))


def _latency(rounds: list[list[list[float]]], index: int, like: Latency) -> Latency:
    taken = [time for times in rounds for time in times[index]]
    p50, p95 = map(float, np.percentile(taken, [50, 95]))
    return replace(like, p50_seconds=p50, p95_seconds=p95, num_runs=len(taken))


def _take_turns(
    sessions: Sequence[Timed],
    feeds: Sequence[Feeds],
    seconds: float,
) -> list[list[list[float]]]:
    """Return the seconds of each call, by round and file."""
    for session, feed in zip(sessions, feeds, strict=True):
        session.run(feed)  # the first call plans memory
    turn = float("inf")
    for _ in range(_NUM_WARM_UPS):
        began = time.perf_counter()
        for session, feed in zip(sessions, feeds, strict=True):
            session.run(feed)
        turn = min(turn, time.perf_counter() - began)
        if turn >= seconds:
            break
    is_warmed = turn < seconds  # slower files do not notice that caches are empty
    turn *= 2 if is_warmed else 1
    num_turns = max(1, round(seconds / _NUM_ROUNDS / max(turn, 1e-9)))
    rounds: list[list[list[float]]] = []
    began = time.perf_counter()
    while not _is_enough(rounds, (time.perf_counter() - began) / seconds):
        times: list[list[float]] = [[] for _ in sessions]
        for number in range(num_turns):
            order = list(enumerate(zip(sessions, feeds, strict=True)))
            for index, (session, feed) in order if number % 2 == 0 else reversed(order):
                if is_warmed:
                    session.run(feed)
                started = time.perf_counter()
                session.run(feed)
                times[index].append(time.perf_counter() - started)
        rounds.append(times)
    return rounds


def _is_enough(rounds: list[list[list[float]]], num_times: float) -> bool:
    """Return whether to stop after ``num_times`` the requested seconds."""
    if len(rounds) < _FEWEST_ROUNDS:
        return False
    if num_times >= _MOST_TIMES_SLOW:
        return True
    if len(rounds) < _NUM_ROUNDS or num_times < 1:
        return False
    if num_times >= _MOST_TIMES:
        return True
    intervals = (_speedup(rounds, index)[1] for index in range(1, len(rounds[0])))
    return all(high <= _NARROW * _SESSIONS_DIFFER**2 * low for low, high in intervals)


def _speedup(rounds: list[list[list[float]]], index: int) -> tuple[float, Interval]:
    ratios = [statistics.median(times[0]) / statistics.median(times[index]) for times in rounds]
    ratio, (low, high) = median_interval(ratios)
    return ratio, (low / _SESSIONS_DIFFER, high * _SESSIONS_DIFFER)
