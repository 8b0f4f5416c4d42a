"""Ranges of activations, measured on samples with ONNX Runtime's calibrators."""

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, MinMaxCalibrater
from onnxruntime.quantization.calibrate import (
    CalibraterBase,
    EntropyCalibrater,
    HistogramCalibrater,
    HistogramCollector,
    PercentileCalibrater,
    TensorsData,
)
from torch import Tensor

from secateur.engine.errors import DataError, ExportError
from secateur.engine.export.session import fixed_batch, translate_errors
from secateur.engine.program.chunks import whole_chunks
from secateur.engine.quantize.prepared import Prepared
from secateur.engine.quantize.sessions import Feeds, feeds_of, has_open_batch, open_session

CalibrationName = Literal["minmax", "percentile", "entropy"]
CALIBRATIONS: tuple[CalibrationName, ...] = get_args(CalibrationName)
Batches = Iterable[Sequence[Tensor]]  # of the inputs in order; read more than once

_PERCENTILE = 99.99
# The search for the least entropy takes the square of the bins in Python. ONNX Runtime's default,
# 128, has one threshold to choose from: the largest value.
_BINS, _ENTROPY_BINS, _QUANTIZED_BINS = 2048, 512, 128
_CHUNK = 8  # samples whose activations are in memory at once


def measure_ranges(
    prepared: Prepared,
    batches: Batches,
    method: CalibrationName,
    extremes: TensorsData | None = None,
) -> TensorsData:
    """Return the range of every activation.

    Args:
        prepared: The network.
        batches: The samples.
        method: ``minmax``: all values. ``percentile``: all but one of 10,000. ``entropy``: those
            that keep the distribution best (Migacz 2017, "8-bit inference with TensorRT").
        extremes: Ranges by ``minmax``; the other methods need them.

    Raises:
        DataError: There are no samples, or one is not finite.
        ExportError: The network cannot compute a sample, or a value in it is not finite.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(action="ignore", category=RuntimeWarning),  # only NaN: see below
    ):
        augmented = Path(folder) / "augmented.onnx"
        calibrator = _calibrator(prepared.path, augmented, method)
        calibrator.augment_graph()
        session = open_session(augmented, is_optimised=False)
        calibrator.infer_session = session
        if isinstance(calibrator, HistogramCalibrater):
            assert extremes is not None  # noqa: S101  # the caller measures them first
            calibrator.collector = _collector(calibrator, extremes)
        num_samples = 0
        for batch in batches:
            for part in whole_chunks([tuple(batch)], fixed_batch(session)):
                for feeds in _chunks(feeds_of(session, part), is_open=has_open_batch(session)):
                    num_samples += _check(feeds, num_samples)
                    translate_errors(partial(calibrator.collect_data, _Once(feeds)))
        if num_samples == 0:
            raise DataError("int8 needs samples to measure the ranges of activations")
        found: TensorsData = calibrator.compute_data()
    _check_ranges(found, num_samples)
    return found


class _Once(CalibrationDataReader):  # type: ignore[misc]  # an untyped library
    """One batch: with all of them, the calibrators would keep the activations of all."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds: Feeds | None = feeds

    def get_next(self) -> Feeds | None:
        feeds, self._feeds = self._feeds, None
        return feeds


def _calibrator(path: Path, augmented: Path, method: CalibrationName) -> CalibraterBase:
    places: dict[str, Any] = {"model_path": path, "augmented_model_path": str(augmented)}
    if method == "minmax":
        return MinMaxCalibrater(**places)
    if method == "percentile":
        return PercentileCalibrater(**places, num_bins=_BINS, percentile=_PERCENTILE)
    return EntropyCalibrater(**places, num_bins=_ENTROPY_BINS, num_quantized_bins=_QUANTIZED_BINS)


def _collector(calibrator: HistogramCalibrater, extremes: TensorsData) -> HistogramCollector:
    """Return a collector of histograms that cover the extremes.

    Its own histograms begin with the first batch's values. A later batch that has larger ones adds
    bins of the same width: a million of them, if the first batch was nearly zero.
    """
    collector = HistogramCollector(
        method=calibrator.method,
        symmetric=False,
        num_bins=calibrator.num_bins,
        num_quantized_bins=calibrator.num_quantized_bins,
        percentile=calibrator.percentile,
        scenario="same",
    )
    ends = {
        name: np.array([low.min(), high.max()], dtype=low.dtype)
        for name in calibrator.tensors_to_calibrate
        if name in extremes
        for low, high in [extremes[name].range_value]
    }
    collector.collect(ends)
    return collector


def _chunks(feeds: Feeds, *, is_open: bool) -> Iterator[Feeds]:
    """Yield the samples of a batch, a few at a time if the batch may have any size."""
    sizes = {len(array) if array.ndim else 0 for array in feeds.values()}
    size = sizes.pop() if len(sizes) == 1 else 0
    if size <= _CHUNK or not is_open:
        yield feeds
        return
    for start in range(0, size, _CHUNK):
        yield {name: array[start : start + _CHUNK] for name, array in feeds.items()}


def _check_ranges(ranges: TensorsData, num_samples: int) -> None:
    """Refuse ranges without numbers, for which ONNX Runtime's quantizer fails an assertion."""
    for name in ranges.keys():  # noqa: SIM118  # TensorsData is not a dictionary
        if not all(np.isfinite(end).all() for end in ranges[name].range_value):
            raise ExportError(
                f"the network's value {name!r} becomes NaN or infinite for the {num_samples} "
                "calibration samples, so it has no range in int8"
            )


def _check(feeds: Feeds, number: int) -> int:
    """Return the number of samples, after checking that their values are finite."""
    for name, array in feeds.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(
                f"a calibration sample (number {number} or soon after) has NaN or infinite values "
                f"in input {name!r}: the ranges of activations cannot be measured with it"
            )
    first = next(iter(feeds.values()))
    return len(first) if first.ndim else 1
