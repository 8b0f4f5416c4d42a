"""The search for an int8 file that keeps its promise and is faster than the fp32 one.

1. Every recipe is written, with the first and the last layers in float and with all in int8, and
   timed beside the fp32 file. The slow ones are out.
2. The fastest that keeps the promise wins. If none does, the ranges of the fastest are measured
   otherwise; then its worst layers stay float, 1, 2, 4, … of them.
3. The winner is timed again beside the fp32 file, at every batch size. If it is not faster, there
   is no int8 file.
"""

import itertools
import math
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from onnxruntime.quantization.calibrate import TensorsData

from secateur.engine.errors import DataError, ExportError
from secateur.engine.export.session import OnnxSession
from secateur.engine.files.atomic_write import atomic_write
from secateur.engine.measure import Comparison, Speedup, compare_latency
from secateur.engine.program.program import InputSpec
from secateur.engine.quantize import reasons
from secateur.engine.quantize.calibration import (
    CALIBRATIONS,
    Batches,
    CalibrationName,
    measure_ranges,
)
from secateur.engine.quantize.fusion import count_fused
from secateur.engine.quantize.judging import Judge, Quality, agreement_judge
from secateur.engine.quantize.options import QuantizeOptions
from secateur.engine.quantize.prepared import Prepared, input_specs, prepare
from secateur.engine.quantize.recipes import RECIPES, Recipe
from secateur.engine.quantize.result import FloatLayer, Quantized, Trial
from secateur.engine.quantize.sensitivity import rank_layers
from secateur.engine.quantize.targets import IntegerTypes, find_types
from secateur.engine.quantize.writing import write_quantized

Progress = Callable[[int, int, str], None]  # step, number of steps, what is done

_ROUNDING = 1e-9
_NUM_STEPS = 10  # of the progress; most searches judge one or two files
_FEWEST_SAMPLES = 128


def quantize(
    source: Path,
    path: Path,
    batches: Batches,
    *,
    judge: Judge | None = None,
    options: QuantizeOptions | None = None,
    progress: Progress = lambda *_: None,
) -> Quantized:
    """Write an int8 file of a network, if one keeps the promise and is faster.

    Args:
        source: The fp32 ONNX file.
        path: The int8 file; written only if the result is kept.
        batches: Samples of the network's inputs, preprocessed; read several times. 128 to 512 are
            enough.
        judge: Measures the quality of a file; None: agreement with the fp32 file on ``batches``.
        options: The promise, and how to measure.
        progress: Called as the search advances.

    Raises:
        DataError: There are no samples, or one is not finite.
        ExportError: The fp32 file cannot be read or run.
    """
    options = options or QuantizeOptions()
    types = find_types(options.target)
    with tempfile.TemporaryDirectory() as name:
        progress(0, _NUM_STEPS, "reading the fp32 file")
        prepared = prepare(source, Path(name) / "prepared.onnx")
        if not prepared.layers:
            reason = reasons.nothing_to_quantize(prepared)
            return Quantized(is_kept=False, reason=reason, types=types, max_drop=options.max_drop)
        search = _Search(source, prepared, Path(name), batches, judge, options, types, progress)
        found = search.run()
        if found.is_kept and search.best is not None:
            with atomic_write(path) as partial:
                partial.write_bytes(search.best.path.read_bytes())
    return found


@dataclass(frozen=True)
class _File:
    """An int8 file that was written."""

    path: Path
    recipe: Recipe
    trial: Trial
    excluded: frozenset[str]
    worst: tuple[str, ...] = ()


class _Search:
    """One search; `best` is the chosen file."""

    def __init__(  # noqa: PLR0913, PLR0917  # the parts of `quantize`
        self,
        source: Path,
        prepared: Prepared,
        folder: Path,
        batches: Batches,
        judge: Judge | None,
        options: QuantizeOptions,
        types: IntegerTypes,
        progress: Progress,
    ) -> None:
        self._source, self._prepared, self._folder = source, prepared, folder
        self._batches, self._options, self._types = batches, options, types
        self._progress = progress
        self._fp32 = OnnxSession(source)
        self._judge = judge or agreement_judge(self._fp32, batches)
        self._numbers = itertools.count()
        self._ranges: dict[CalibrationName, TensorsData] = {}
        self._trials: list[Trial] = []
        self._before: Quality | None = None
        self._nearest: tuple[float, Quality, _File] | None = None
        self.best: _File | None = None

    def run(self) -> Quantized:
        num_samples = sum(len(batch[0]) if batch[0].dim() else 1 for batch in self._batches)
        if num_samples == 0:
            raise DataError("int8 needs samples to measure the ranges of activations: none given")
        specs = input_specs(self._source, next(iter(self._batches)))
        self._progress(1, _NUM_STEPS, "calibrating")
        self._ranges["minmax"] = measure_ranges(self._prepared, self._batches, "minmax")
        self._progress(3, _NUM_STEPS, "writing int8 files")
        files = self._write_recipes()
        base = Quantized(
            is_kept=False,
            reason="",
            types=self._types,
            max_drop=self._options.max_drop,
            num_samples=num_samples,
            notes=reasons.notes_on(num_samples, _FEWEST_SAMPLES),
        )
        if not files:
            return self._refused(base, reasons.none_runs(self._trials))
        self._progress(4, _NUM_STEPS, "timing int8 files")
        fast, timed = self._time_all(files, specs)
        if not fast:
            fastest = max(files, key=lambda each: each.trial.speedup or 0.0)
            self.best = fastest
            base = replace(base, latency=_pair(timed, files.index(fastest)))
            base = self._described(base, fastest)
            reason = reasons.too_slow(base, self._prepared, self._options.least_speedup)
            return self._refused(base, reason)
        self._progress(6, _NUM_STEPS, "judging int8 files")
        chosen = (
            self._first_that_keeps(fast) or self._by_other_ranges() or self._without_worst_layers()
        )
        if chosen is None:
            return self._refused(base, self._broken_promise())
        return self._final(base, chosen, specs)

    # Writing.

    def _write_recipes(self) -> list[_File]:
        """Write every recipe with and without float ends; files that are the same are left out."""
        files: list[_File] = []
        seen: set[bytes] = set()
        ends = self._prepared.ends
        has_inner = len(ends) < len(self._prepared.layers)
        for recipe in RECIPES:
            for excluded in (ends, frozenset()) if has_inner else (frozenset(),):
                found = self._write(recipe, excluded, "minmax")
                if found is None:
                    continue
                content = found.path.read_bytes()
                if content not in seen:
                    seen.add(content)
                    files.append(found)
        return files

    def _write(
        self,
        recipe: Recipe,
        excluded: Collection[str],
        calibration: CalibrationName,
        worst: tuple[str, ...] = (),
    ) -> _File | None:
        """Write a file; None if that is impossible or nothing in it is integer."""
        path = self._folder / f"int8_{next(self._numbers)}.onnx"
        has_float_ends = bool(self._prepared.ends) and self._prepared.ends <= set(excluded)
        trial = Trial(recipe.name, calibration, has_float_ends, len(worst))
        try:
            ranges = self._ranges[calibration]
            outside = {*excluded, *worst}
            write_quantized(self._prepared, path, ranges, self._types, recipe, outside)
            trial = replace(trial, fusion=count_fused(path))
        except ExportError as error:
            self._trials.append(replace(trial, trouble=str(error)))
            return None
        return _File(path, recipe, trial, frozenset(excluded), worst)

    # Timing.

    def _time_all(
        self, files: list[_File], specs: tuple[InputSpec, ...]
    ) -> tuple[list[_File], Comparison]:
        """Return the files that are fast enough, the fastest first, and the measurement."""
        timed = self._compare([each.path for each in files], specs, self._options.batch_sizes[:1])
        for index, (each, speedups) in enumerate(zip(files, timed.speedups, strict=True)):
            files[index] = replace(each, trial=replace(each.trial, speedup=speedups[0].ratio))
        ranked = sorted(files, key=lambda each: -(each.trial.speedup or 0.0))
        if not self._options.must_be_faster:
            return ranked, timed
        least = self._options.least_speedup
        fast = [each for each in ranked if (each.trial.speedup or 0.0) >= least]
        self._trials += [each.trial for each in ranked if each not in fast]
        return fast, timed

    def _compare(
        self, paths: list[Path], specs: tuple[InputSpec, ...], sizes: tuple[int, ...]
    ) -> Comparison:
        fixed = specs[0].shape[0]
        return compare_latency(
            (self._source, *paths),
            specs,
            sizes if fixed is None else (fixed,),
            num_threads=self._options.num_threads,
            provider=self._options.provider,
            seconds=self._options.seconds,
        )

    # Judging.

    def _keeps(self, file: _File) -> _File | None:
        """Return the file with its drop if it keeps the promise, else None."""
        if self._before is None:
            self._before = self._judge(self._fp32)
        after = self._judge(OnnxSession(file.path))
        drop = self._before.score - after.score
        drop = math.inf if math.isnan(drop) else drop
        file = replace(file, trial=replace(file.trial, drop=drop))
        self._trials.append(file.trial)
        if self._nearest is None or drop < self._nearest[0]:
            self._nearest = drop, after, file
        return file if drop <= self._options.max_drop + _ROUNDING else None

    def _first_that_keeps(self, files: list[_File]) -> _File | None:
        return next((kept for each in files if (kept := self._keeps(each)) is not None), None)

    def _by_other_ranges(self) -> _File | None:
        """Return the best file with ranges without extremes, if one keeps the promise."""
        file = self._nearest_file()
        for method in CALIBRATIONS[1:]:
            self._progress(7, _NUM_STEPS, f"calibrating by {method}")
            extremes = self._ranges["minmax"]
            self._ranges[method] = measure_ranges(self._prepared, self._batches, method, extremes)
            found = self._write(file.recipe, file.excluded, method)
            if found is not None and (kept := self._keeps(found)) is not None:
                return kept
        return None

    def _without_worst_layers(self) -> _File | None:
        """Return the best file with its worst layers in float, if it keeps the promise so."""
        nearest = self._nearest_file()
        method = nearest.trial.calibration
        ranked = rank_layers(
            self._prepared,
            self._ranges[method],
            self._types,
            self._batches,
            excluded=nearest.excluded,
            progress=self._rank_progress,
        )
        number = 1
        while number < len(ranked):
            self._progress(8, _NUM_STEPS, f"leaving {number} of {len(ranked)} layers in float")
            found = self._write(nearest.recipe, nearest.excluded, method, tuple(ranked[:number]))
            if found is not None and (kept := self._keeps(found)) is not None:
                return kept
            number *= 2
        return None

    def _rank_progress(self, number: int, total: int) -> None:
        self._progress(8, _NUM_STEPS, f"measuring layer {number} of {total} in int8")

    def _nearest_file(self) -> _File:
        assert self._nearest is not None  # noqa: S101  # files have been judged
        return self._nearest[2]

    # Results.

    def _final(self, base: Quantized, file: _File, specs: tuple[InputSpec, ...]) -> Quantized:
        self._progress(9, _NUM_STEPS, "timing the int8 file")
        self.best = file
        timed = self._compare([file.path], specs, self._options.batch_sizes)
        file = replace(file, trial=replace(file.trial, speedup=timed.speedups[0][0].ratio))
        found = self._described(replace(base, latency=timed), file)
        if self._options.must_be_faster and not _is_faster(
            timed.speedups[0], self._options.least_speedup
        ):
            reason = reasons.too_slow(found, self._prepared, self._options.least_speedup)
            return self._refused(found, reason)
        return replace(found, is_kept=True, reason=reasons.kept(found))

    def _described(self, base: Quantized, file: _File) -> Quantized:
        """Return the result with what is known of a file."""
        after = self._nearest[1] if self._nearest and self._nearest[2].path == file.path else None
        return replace(
            base,
            before=self._before if after is not None else None,
            after=after,
            chosen=file.trial,
            float_layers=self._float_layers(file),
            num_bytes=(self._source.stat().st_size, file.path.stat().st_size),
            trials=tuple(self._trials),
        )

    def _float_layers(self, file: _File) -> tuple[FloatLayer, ...]:
        why = dict.fromkeys(file.excluded, "first or last layer")
        why |= dict.fromkeys(file.worst, "loses most in int8")
        return tuple(
            FloatLayer(self._prepared.label(node), node.op_type, why[node.name])
            for node in self._prepared.layers
            if node.name in why
        )

    def _broken_promise(self) -> str:
        assert self._nearest is not None  # noqa: S101  # files have been judged
        assert self._before is not None  # noqa: S101
        _, after, _ = self._nearest
        return reasons.broken_promise(
            self._before, after, self._options.max_drop, len(self._trials)
        )

    def _refused(self, base: Quantized, reason: str) -> Quantized:
        nearest = self._nearest
        return replace(
            base,
            reason=reason,
            before=self._before,
            after=nearest[1] if nearest is not None else None,
            chosen=base.chosen or (nearest[2].trial if nearest is not None else None),
            trials=tuple(self._trials),
        )


def _pair(timed: Comparison, index: int) -> Comparison:
    """Return the comparison of the fp32 file with one of the others."""
    return replace(
        timed,
        latencies=[timed.latencies[0], timed.latencies[index + 1]],
        speedups=[timed.speedups[index]],
    )


def _is_faster(speedups: list[Speedup], least: float) -> bool:
    """Return whether the first batch size is faster for certain, and no other one is slower."""
    first = speedups[0]
    return first.ratio >= least and first.low > 1 and all(each.high >= 1 for each in speedups)
