"""Check that all samples are finite, on reading, before NaN can look like a network's fault."""

import numpy as np

from secateur.engine.errors import DataError
from worker.pipeline.data.rows import Rows

_CHUNK_BYTES = 16 * 1024**2


def check_finite(rows: Rows, parts: list[tuple[str, int]]) -> None:
    """Raise `DataError` if a sample holds NaN, infinity, or a value that overflows float32.

    Args:
        rows: The samples.
        parts: Name and number of samples of each source array, in order.
    """
    if rows.dtype == np.uint8:
        return
    chunk = max(1, _CHUNK_BYTES // max(1, rows.sample_bytes))
    wrong: list[int] = []
    first: object = None
    for start in range(0, len(rows), chunk):
        x = rows.read(np.arange(start, min(len(rows), start + chunk)))
        with np.errstate(over="ignore"):
            is_finite = np.isfinite(x.astype(np.float32, copy=False))
        if is_finite.all():
            continue
        if not wrong:
            first = x[~is_finite][0]
        wrong += (start + np.flatnonzero(~is_finite.reshape(len(x), -1).all(1))).tolist()
    if not wrong:
        return
    position, name = wrong[0], parts[0][0]
    for part_name, size in parts:
        name = part_name
        if position < size:
            break
        position -= size
    raise DataError(
        f"sample {position} of the array {name!r} holds {first}: {len(wrong)} of {len(rows)} "
        "samples have values that are not finite in float32. Correct or remove them"
    )
