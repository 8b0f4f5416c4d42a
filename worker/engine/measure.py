"""What a network costs: parameters, multiply-accumulates, and measured latency.

Latency is measured on the exported file with ONNX Runtime, because that is what serves it; dense
and pruned files take turns, so that a machine that slows down slows both.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from worker.engine.program.macs import mac_terms, num_macs
from worker.engine.program.program import InputSpec, Program
from worker.engine.program.shapes import propagate

_BATCH_SIZE = 2
_MIN_ROUNDS = 20


@dataclass(frozen=True)
class Latency:
    """How long one call takes.

    Attributes:
        batch_size: Samples in a call.
        num_threads: Threads of the session.
        provider: ONNX Runtime's execution provider.
        p50_seconds: The median.
        p95_seconds: Nineteen calls in twenty are faster.
        num_runs: How many calls were timed.
    """

    batch_size: int
    num_threads: int
    provider: str
    p50_seconds: float
    p95_seconds: float
    num_runs: int


def count_parameters(program: Program) -> int:
    """Return the number of trained values (buffers such as running statistics do not count)."""
    return sum(tensor.numel() for tensor in program.parameters().values())


def count_macs(program: Program) -> int:
    """Return the multiply-accumulates of one sample, over convolutions and matrix products."""
    shapes = propagate(program, _BATCH_SIZE)
    terms = mac_terms(program, shapes)
    return sum(num_macs(term, shapes) for term in terms) // _BATCH_SIZE


def compare_latency(
    paths: Sequence[Path],
    inputs: Sequence[InputSpec],
    batch_sizes: Sequence[int],
    *,
    num_threads: int = 1,
    provider: str = "CPUExecutionProvider",
    seconds: float = 1.5,
) -> list[list[Latency]]:
    """Time ONNX files side by side, one call each in turn.

    Args:
        paths: The files; all take the same inputs.
        inputs: What they take.
        batch_sizes: Batches to time.
        num_threads: Threads inside one call.
        provider: Where to run.
        seconds: How long to measure each batch size, all files together.

    Returns:
        For each file its latencies, one a batch size.
    """
    sessions = [_session(path, num_threads, provider) for path in paths]
    results: list[list[Latency]] = [[] for _ in paths]
    random = np.random.default_rng(0)
    for batch_size in batch_sizes:
        feeds = [_feed(session, inputs, batch_size, random) for session in sessions]
        times = _take_turns(sessions, feeds, seconds)
        for result, taken in zip(results, times, strict=True):
            p50, p95 = np.percentile(taken, [50, 95])
            result.append(
                Latency(batch_size, num_threads, provider, float(p50), float(p95), len(taken))
            )
    return results


def _session(path: Path, num_threads: int, provider: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=[provider])


def _feed(
    session: ort.InferenceSession,
    inputs: Sequence[InputSpec],
    batch_size: int,
    random: np.random.Generator,
) -> dict[str, np.ndarray]:
    shapes = [[batch_size if s is None else s for s in spec.shape] for spec in inputs]
    names = [value.name for value in session.get_inputs()]
    return {
        name: random.standard_normal(shape, dtype=np.float32)
        for name, shape in zip(names, shapes, strict=True)
    }


def _take_turns(
    sessions: Sequence[ort.InferenceSession],
    feeds: Sequence[dict[str, np.ndarray]],
    seconds: float,
) -> list[list[float]]:
    for session, feed in zip(sessions, feeds, strict=True):
        session.run(None, feed)  # the first call plans memory
        session.run(None, feed)
    times: list[list[float]] = [[] for _ in sessions]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < _MIN_ROUNDS:
        for taken, session, feed in zip(times, sessions, feeds, strict=True):
            started = time.perf_counter()
            session.run(None, feed)
            taken.append(time.perf_counter() - started)
    return times
