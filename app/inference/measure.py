"""Warm-up of a session and measurement of its best batch size, when a model is loaded.

A model is batched only if batching changes no result: dimension 0 has the same dynamic name at
every input and output, and two samples in one run give the same outputs as in two runs.
"""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contracts.errors import InvalidInputError
from app.contracts.settings import InferenceSettings
from app.inference.sessions import LoadedModel, run_batch
from app.inference.tensors import Arrays

_RELATIVE_TOLERANCE = 1e-3
# Overhead of a run while the event loop is busy (1.3 ms with 64 clients): its thread wakes up,
# waits for the interpreter, then for the loop. It makes large batches pay for small networks.
_HAND_OFF_SECONDS = 1e-3
_WORTH = 0.97  # a batch of twice the size must take less than this share of the time per item
_MOST_ITEMS = 256
_FLOATS = {"float16", "float32", "float64"}


def measure_batch(model: LoadedModel, settings: InferenceSettings) -> int:
    """Return the most items that one run of ``model`` should batch; 1: never batch."""
    samples = _samples(model)
    if samples is None:
        return 1
    try:
        alone = _seconds(
            model, samples[:1]
        )  # the first run also allocates memory and packs the weights
        if model.batch_symbol is None or settings.max_batch_items == 1:
            return 1
        if settings.max_batch_items is None and alone > settings.batch_seconds:
            return 1
        if not _is_independent(model, samples):
            return 1
        return settings.max_batch_items or _measure(model, samples[0], settings)
    except InvalidInputError:  # the model rejects random numbers; a request's values may work
        return 1


def _measure(model: LoadedModel, sample: Arrays, settings: InferenceSettings) -> int:
    """Double the batch until time is up, a run takes too long, or the gain is too small.

    Larger batches only evict intermediate results from the processor's caches.
    """
    end = time.perf_counter() + settings.measure_seconds
    chosen, best, size = 1, _seconds(model, [sample]) + _HAND_OFF_SECONDS, 2
    while size <= _MOST_ITEMS and time.perf_counter() < end:
        seconds = _seconds(model, [sample] * size)
        an_item = (seconds + _HAND_OFF_SECONDS) / size
        if seconds > settings.batch_seconds or an_item > _WORTH * best:
            break
        chosen, best, size = size, an_item, 2 * size
    return chosen


def _seconds(model: LoadedModel, samples: list[Arrays]) -> float:
    return min(run_batch(model, samples, None)[1] for _ in range(2))


def _is_independent(model: LoadedModel, samples: list[Arrays]) -> bool:
    alone = [run_batch(model, [sample], None)[0][0] for sample in samples]
    if any(len(value) != 1 for found in alone for value in found.values()):
        return False
    together, _ = run_batch(model, samples, None)
    return all(
        _is_close(found[name], expected[name])
        for found, expected in zip(together, alone, strict=True)
        for name in expected
    )


def _is_close(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    if found.shape != expected.shape:
        return False
    if expected.dtype.kind not in "fiu":
        return bool((found == expected).all())
    scale = float(np.abs(expected).max(initial=1e-6))
    return np.allclose(found, expected, _RELATIVE_TOLERANCE, _RELATIVE_TOLERANCE * scale)


def _samples(model: LoadedModel) -> list[Arrays] | None:
    """Return two random inputs of one item each, or None if the input types do not allow it."""
    random = np.random.default_rng(0)
    samples: list[Arrays] = [{}, {}]
    for spec in model.inputs:
        if not spec.shape or None in spec.shape[1:] or spec.dtype not in _FLOATS:
            return None
        shape = [1 if size is None else size for size in spec.shape]
        for sample in samples:
            sample[spec.name] = random.standard_normal(shape).astype(spec.dtype)
    return samples
