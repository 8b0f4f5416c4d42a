"""Measurements of a session when it is loaded: memory and time of an item, and the best batch.

A network is batched and its requests are split only if that changes no result: dimension 0 has the
same dynamic name at every input and output, and two samples in one run give the same outputs as in
two runs. Memory is measured, not computed from shapes: operators hold values inside that no shape
shows.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from app.contracts.settings import InferenceSettings
from app.serving.description import BFLOAT16, Arrays, Cost, LoadedModel
from app.serving.memory import Meter
from app.serving.sessions import RunError, Session, run

_RELATIVE_TOLERANCE = 1e-3
# Overhead of a run while the event loop is busy (1.3 ms with 64 clients): its answer waits for the
# loop. It makes large batches pay for small networks.
_HAND_OFF_SECONDS = 1e-3
_WORTH = 0.97  # a batch of twice the size must take less than this share of the time per item
_MOST_ITEMS = 256
_FLOATS = frozenset({"float16", "float32", "float64"})
_NUMBERS = _FLOATS | {"bool", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64))}
_QUICK_SECONDS = 0.01  # a run this short is timed twice, for the first also allocates memory


def measure(session: Session, settings: InferenceSettings, meter: Meter) -> LoadedModel:
    """Return a session's description with what was measured.

    Raises:
        RunError: One item takes longer than ``request_seconds``, or more memory than there is.
    """
    samples = _samples(session, settings)
    if samples is None:
        return session.model
    try:
        cost, alone = _cost(session, samples, settings, meter)
        model = replace(session.model, cost=cost)
        if cost.run_bytes > settings.run_bytes or not _is_independent(session, samples, alone):
            return model
        return replace(
            model, is_independent=True, max_items=_best_batch(session, samples[0], cost, settings)
        )
    except RunError as error:
        # It refuses random numbers, or makes large sizes of them; a request's values may work.
        if error.code == "input" or (error.code == "memory" and not session.is_foreseen):
            return session.model
        raise


def _cost(
    session: Session, samples: list[Arrays], settings: InferenceSettings, meter: Meter
) -> tuple[Cost, list[Arrays]]:
    """Run one sample, then two, from an empty arena; also return the outputs of each sample."""
    alone: list[Arrays] = []

    def rise(arrays: Arrays) -> tuple[float, int]:
        def call() -> float:
            with _deadline(settings.request_seconds) as options:
                found, seconds = run(session, arrays, None, options, is_shrunk=True)
            alone.append(found)
            return seconds

        return meter.rise(call)

    seconds, one = rise(samples[0])
    if one > settings.run_bytes:  # before it is refused: other threads' memory counts too
        one = min(one, rise(samples[0])[1])
        del alone[1:]
    if seconds < _QUICK_SECONDS:
        seconds = min(seconds, run(session, samples[0])[1])
    cost = Cost(0, one, seconds)
    if session.model.batch_symbol is None or one > settings.run_bytes:
        return cost, alone
    _, two = rise(_together(samples))
    return replace(cost, item_bytes=max(0, two - one)), alone


def _is_independent(session: Session, samples: list[Arrays], found: list[Arrays]) -> bool:
    if session.model.batch_symbol is None or any(
        spec.dtype not in _FLOATS for spec in session.model.inputs
    ):
        return False
    first, together = found
    second, _ = run(session, samples[1])
    for number, alone in enumerate((first, second)):
        for name, expected in alone.items():
            if len(expected) != 1 or len(together[name]) != len(samples):
                return False
            if not _is_close(together[name][number : number + 1], expected):
                return False
    return True


def _best_batch(session: Session, sample: Arrays, cost: Cost, settings: InferenceSettings) -> int:
    """Double the batch until time is up, a run takes too long, or the gain is too small.

    Larger batches only evict intermediate results from the processor's caches.
    """
    if settings.max_batch_items is not None:
        return settings.max_batch_items
    alone = _seconds(session, [sample])
    if alone > settings.batch_seconds:
        return 1
    end = time.perf_counter() + settings.measure_seconds
    chosen, best, size = 1, alone + _HAND_OFF_SECONDS, 2
    while size <= _MOST_ITEMS and time.perf_counter() < end:
        if cost.run_bytes + (size - 1) * cost.item_bytes > settings.run_bytes:
            break
        seconds = _seconds(session, [sample] * size)
        an_item = (seconds + _HAND_OFF_SECONDS) / size
        if seconds > settings.batch_seconds or an_item > _WORTH * best:
            break
        chosen, best, size = size, an_item, 2 * size
    return chosen


def _seconds(session: Session, samples: list[Arrays]) -> float:
    arrays = _together(samples)
    return min(run(session, arrays)[1] for _ in range(2))


def _together(samples: list[Arrays]) -> Arrays:
    return {name: np.concatenate([s[name] for s in samples]) for name in samples[0]}


def _is_close(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    if found.shape != expected.shape:
        return False
    if expected.dtype.kind not in "fiu":
        return bool((found == expected).all())
    scale = float(np.abs(expected).max(initial=1e-6))
    return np.allclose(found, expected, _RELATIVE_TOLERANCE, _RELATIVE_TOLERANCE * scale)


def _samples(session: Session, settings: InferenceSettings) -> list[Arrays] | None:
    """Return two inputs of one item each: random numbers, or zeros for whole numbers.

    Return None if sizes or types cannot be made up, or the inputs alone take too much memory.
    """
    random = np.random.default_rng(0)
    samples: list[Arrays] = [{}, {}]
    num_bytes = 0
    for spec in session.model.inputs:
        dtype = "float32" if spec.dtype == BFLOAT16 else spec.dtype
        if not spec.shape or None in spec.shape[1:] or dtype not in _NUMBERS:
            return None
        shape = [1 if size is None else size for size in spec.shape]
        num_bytes += len(samples) * prod(shape) * max(4, np.dtype(dtype).itemsize)
        if num_bytes > settings.run_bytes // 2:
            return None
        for sample in samples:
            made = np.zeros(shape, dtype)
            if dtype in _FLOATS:
                made[...] = random.standard_normal(shape, np.float32)
            sample[spec.name] = made
    return samples


@contextmanager
def _deadline(seconds: float) -> Iterator[ort.RunOptions]:
    """Terminate the run that is given the options when the time is over."""
    options = ort.RunOptions()

    def stop() -> None:
        options.terminate = True

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()
