"""Finds samples that occur more than once, such as test samples that are also trained on."""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from worker.pipeline.data.rows import Rows
from worker.pipeline.data.splits import Split

MAX_SAMPLES = 100_000
_CHUNK_BYTES = 16 * 1024**2
_DIGEST_BYTES = 16


def duplicate_notes(rows: Rows, split: NDArray[np.uint8]) -> Iterator[str]:
    """Yield notes on equal samples among the first 100,000.

    Args:
        rows: The samples.
        split: Split of each sample, (N,).
    """
    count = min(len(rows), MAX_SAMPLES)
    seen: dict[bytes, int] = {}  # the splits in which a sample occurs, as bits
    num_repeated = num_leaked = 0
    order = np.argsort(split[:count] != Split.TRAIN, kind="stable")  # training samples first
    step = max(1, _CHUNK_BYTES // max(1, rows.sample_bytes))
    for start in range(0, count, step):
        chosen = order[start : start + step]
        for number, sample in zip(chosen, rows.read(chosen), strict=True):
            digest = hashlib.blake2b(sample.tobytes(), digest_size=_DIGEST_BYTES).digest()
            before = seen.get(digest, 0)
            num_repeated += before != 0
            is_held_out = split[number] != Split.TRAIN
            num_leaked += bool(is_held_out and before & 1 << int(Split.TRAIN))
            seen[digest] = before | 1 << int(split[number])
    among = f" among the first {MAX_SAMPLES:,}" if len(rows) > MAX_SAMPLES else ""
    if num_leaked:
        one = num_leaked == 1
        yield (
            f"{num_leaked:,} validation or test sample{' is' if one else 's are'} also in the "
            f"training split{among}: quality will look better than it is"
        )
    if num_repeated > num_leaked:
        yield (
            f"{num_repeated:,} samples{among} are copies of another one"
            if num_repeated > 1
            else f"1 sample{among} is a copy of another one"
        )
