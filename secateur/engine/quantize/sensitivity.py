"""Layers that lose the most in int8: the first to stay float.

Each layer is made integer alone, and the distance of the network's outputs is measured. ONNX
Runtime's own tool (`qdq_loss_debug`) compares activations instead. It overlooks the most frequent
cause: one channel with large values hides that the range leaves nothing of the others.
"""

import tempfile
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import TensorsData

from secateur.engine.errors import ExportError
from secateur.engine.export.session import fixed_batch
from secateur.engine.program.chunks import whole_chunks
from secateur.engine.quantize.calibration import Batches
from secateur.engine.quantize.prepared import Prepared
from secateur.engine.quantize.recipes import RECIPES
from secateur.engine.quantize.sessions import Feeds, feeds_of, has_open_batch, open_session
from secateur.engine.quantize.targets import IntegerTypes
from secateur.engine.quantize.writing import write_quantized

_NUM_SAMPLES = 8


def rank_layers(  # the network, how it is written, and what to compare
    prepared: Prepared,
    ranges: TensorsData,
    types: IntegerTypes,
    batches: Batches,
    *,
    excluded: Collection[str] = (),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[str]:
    """Return the names of the layers, those first whose int8 form changes the outputs the most.

    Args:
        prepared: The fp32 network.
        ranges: Ranges of its activations.
        types: The integer types.
        batches: Samples; a few of the first batch are used.
        excluded: Layers that stay float anyway; they are left out of the result.
        progress: Called with the number of layers measured and their total.

    Raises:
        ExportError: The fp32 network cannot be run.
    """
    session = open_session(prepared.path)
    (batch,) = islice(batches, 1)
    if has_open_batch(session):
        part = [x[:_NUM_SAMPLES] for x in batch]
    else:  # as many as the file takes
        part = list(whole_chunks([tuple(batch)], fixed_batch(session))[0])
    feeds = feeds_of(session, part)
    wanted = session.run(None, feeds)
    names = [node.name for node in prepared.layers if node.name not in excluded]
    errors: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.onnx"
        for number, name in enumerate(names):
            others = {node.name for node in prepared.layers} - {name}
            try:
                write_quantized(prepared, path, ranges, types, RECIPES[0], others)
                errors[name] = _distance(_run(path, feeds), wanted)
            except ExportError:
                errors[name] = float("inf")
            progress(number + 1, len(names))
    return sorted(names, key=lambda name: -errors[name])


def _run(path: Path, feeds: Feeds) -> list[NDArray[Any]]:
    found: list[NDArray[Any]] = open_session(path).run(None, feeds)
    return found


def _distance(found: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]]) -> float:
    """Return the squared distance of the float outputs, as a share of their squares."""
    total = 0.0
    for ours, theirs in zip(found, wanted, strict=True):
        if theirs.dtype.kind == "f":
            wide = theirs.astype(np.float64)
            norm = max(float(np.square(wide).sum()), 1e-30)
            total += float(np.square(ours - wide).sum()) / norm
    return total if np.isfinite(total) else float("inf")
