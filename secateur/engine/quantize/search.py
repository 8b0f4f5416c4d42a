"""The search for an int8 file that keeps its promise and is faster than the fp32 one.

1. Every recipe is written, with the first and the last layers in float and with all in int8, and
   timed beside the fp32 file. The slow ones are out.
2. The fastest that keeps the promise wins. If none does, the ranges of the nearest are measured
   otherwise; then its worst layers stay float, 1, 2, 4, … of them.
3. The winner is timed again beside the fp32 file, at every batch size. If it is not faster, there
   is no int8 file.
"""

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from secateur.engine.errors import DataError
from secateur.engine.export.session import OnnxSession
from secateur.engine.files.atomic_write import atomic_write
from secateur.engine.measure import Comparison, Speedup, compare_latency
from secateur.engine.program.program import InputSpec
from secateur.engine.quantize import reasons
from secateur.engine.quantize.calibration import CALIBRATIONS, Batches
from secateur.engine.quantize.candidates import Candidate, Candidates
from secateur.engine.quantize.judging import Judge, Quality, agreement_judge
from secateur.engine.quantize.options import QuantizeOptions
from secateur.engine.quantize.prepared import input_specs, prepare
from secateur.engine.quantize.result import Quantized, Trial
from secateur.engine.quantize.sensitivity import rank_layers
from secateur.engine.quantize.targets import find_types

Progress = Callable[[int, int, str], None]  # step, number of steps, what is done

_ROUNDING = 1e-9
_NUM_STEPS = 10  # of the progress; most searches judge one or two files


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
        folder = Path(name)
        progress(0, _NUM_STEPS, "reading the fp32 file")
        prepared = prepare(source, folder / "prepared.onnx")
        if not prepared.layers:
            reason = reasons.nothing_to_quantize(prepared)
            return Quantized(is_kept=False, reason=reason, types=types, max_drop=options.max_drop)
        files = Candidates(prepared, folder, batches, types)
        found, best = _Search(source, files, judge, options, progress).run()
        if best is not None:
            with atomic_write(path) as partial:
                partial.write_bytes(best.path.read_bytes())
    return found


class _Search:
    """One search."""

    def __init__(
        self,
        source: Path,
        files: Candidates,
        judge: Judge | None,
        options: QuantizeOptions,
        progress: Progress,
    ) -> None:
        self._source, self._files, self._options = source, files, options
        self._progress = progress
        self._fp32 = OnnxSession(source)
        self._judge = judge or agreement_judge(self._fp32, files.batches)
        self._trials: list[Trial] = []
        self._before: Quality | None = None
        self._nearest: tuple[float, Quality, Candidate] | None = None  # and its drop

    def run(self) -> tuple[Quantized, Candidate | None]:
        """Return the result, and the file that is kept, if one is."""
        batches = self._files.batches
        num_samples = sum(len(batch[0]) if batch[0].dim() else 1 for batch in batches)
        if num_samples == 0:
            raise DataError("int8 needs samples to measure the ranges of activations: none given")
        specs = input_specs(self._source, next(iter(batches)))
        base = Quantized(
            is_kept=False,
            reason="",
            types=self._files.types,
            max_drop=self._options.max_drop,
            num_samples=num_samples,
            notes=reasons.notes_on(num_samples),
        )
        self._progress(1, _NUM_STEPS, "calibrating")
        self._files.ranges("minmax")
        self._progress(3, _NUM_STEPS, "writing int8 files")
        candidates = self._files.write_recipes()
        if not candidates:
            return self._refused(base, reasons.none_runs(self._files.failed)), None
        if self._options.must_be_faster:
            self._progress(4, _NUM_STEPS, "timing int8 files")
            timed = self._compare(candidates, specs, self._options.batch_sizes[:1])
            candidates = _by_speed(candidates, timed)
            fast = [each for each in candidates if _ratio(each) >= self._options.least_speedup]
            self._trials += [each.trial for each in candidates if each not in fast]
            if not fast:
                timed = self._compare(candidates[:1], specs, self._options.batch_sizes)
                base = self._described(replace(base, latency=timed), candidates[0])
                return self._too_slow(base), None
            candidates = fast
        self._progress(6, _NUM_STEPS, "judging int8 files")
        chosen = (
            next((kept for each in candidates if (kept := self._keeps(each))), None)
            or self._by_other_ranges()
            or self._without_worst_layers()
        )
        if chosen is None:
            return self._refused(base, self._broken_promise()), None
        return self._final(base, chosen, specs)

    def _compare(
        self, candidates: list[Candidate], specs: tuple[InputSpec, ...], sizes: tuple[int, ...]
    ) -> Comparison:
        """Time the fp32 file and candidates in turns."""
        fixed = specs[0].shape[0]
        return compare_latency(
            (self._source, *(each.path for each in candidates)),
            specs,
            sizes if fixed is None else (fixed,),
            num_threads=self._options.num_threads,
            provider=self._options.provider,
            seconds=self._options.seconds,
        )

    def _keeps(self, candidate: Candidate | None) -> Candidate | None:
        """Return the candidate with its drop if it keeps the promise, else None."""
        if candidate is None:
            return None
        if self._before is None:
            self._before = self._judge(self._fp32)
        after = self._judge(OnnxSession(candidate.path))
        drop = self._before.score - after.score
        drop = math.inf if math.isnan(drop) else drop
        candidate = candidate.tried(drop=drop)
        self._trials.append(candidate.trial)
        if self._nearest is None or drop < self._nearest[0]:
            self._nearest = drop, after, candidate
        return candidate if drop <= self._options.max_drop + _ROUNDING else None

    def _by_other_ranges(self) -> Candidate | None:
        """Return the best file with ranges without extremes, if one keeps the promise."""
        best = self._nearest_candidate()
        for method in CALIBRATIONS[1:]:
            self._progress(7, _NUM_STEPS, f"calibrating by {method}")
            kept = self._keeps(self._files.write(best.recipe, best.ends, method))
            if kept is not None:
                return kept
        return None

    def _without_worst_layers(self) -> Candidate | None:
        """Return the best file with its worst layers in float, if it keeps the promise so."""
        best = self._nearest_candidate()
        method = best.trial.calibration
        ranked = rank_layers(
            self._files.prepared,
            self._files.ranges(method),
            self._files.types,
            self._files.batches,
            excluded=best.ends,
            progress=self._rank_progress,
        )
        number = 1
        while number < len(ranked):
            self._progress(8, _NUM_STEPS, f"leaving {number} of {len(ranked)} layers in float")
            worst = tuple(ranked[:number])
            kept = self._keeps(self._files.write(best.recipe, best.ends, method, worst))
            if kept is not None:
                return kept
            number *= 2
        return None

    def _rank_progress(self, number: int, total: int) -> None:
        self._progress(8, _NUM_STEPS, f"measuring layer {number} of {total} in int8")

    def _nearest_candidate(self) -> Candidate:
        assert self._nearest is not None  # noqa: S101  # candidates have been judged
        return self._nearest[2]

    def _final(
        self, base: Quantized, chosen: Candidate, specs: tuple[InputSpec, ...]
    ) -> tuple[Quantized, Candidate | None]:
        self._progress(9, _NUM_STEPS, "timing the int8 file")
        timed = self._compare([chosen], specs, self._options.batch_sizes)
        chosen = chosen.tried(speedup=timed.speedups[0][0].ratio)
        found = self._described(replace(base, latency=timed), chosen)
        is_fast = _is_faster(timed.speedups[0], self._options.least_speedup)
        if self._options.must_be_faster and not is_fast:
            return self._too_slow(found), None
        elsewhere = None if self._options.must_be_faster else self._options.target
        return replace(found, is_kept=True, reason=reasons.kept(found, elsewhere)), chosen

    def _described(self, base: Quantized, candidate: Candidate) -> Quantized:
        """Return the result with what is known of a candidate."""
        return replace(
            base,
            before=self._before,
            after=self._nearest[1] if self._nearest is not None else None,
            chosen=candidate.trial,
            float_layers=self._files.float_layers(candidate),
            num_bytes=(self._source.stat().st_size, candidate.path.stat().st_size),
            trials=(*self._trials, *self._files.failed),
        )

    def _too_slow(self, found: Quantized) -> Quantized:
        layers, least = self._files.prepared.layers, self._options.least_speedup
        return self._refused(found, reasons.too_slow(found, len(layers), least))

    def _broken_promise(self) -> str:
        assert self._before is not None  # noqa: S101  # candidates have been judged
        assert self._nearest is not None  # noqa: S101
        after, number = self._nearest[1], len(self._trials)
        return reasons.broken_promise(self._before, after, self._options.max_drop, number)

    def _refused(self, base: Quantized, reason: str) -> Quantized:
        after = self._nearest[1] if self._nearest is not None else None
        trials = (*self._trials, *self._files.failed)
        return replace(base, reason=reason, before=self._before, after=after, trials=trials)


def _by_speed(candidates: list[Candidate], timed: Comparison) -> list[Candidate]:
    """Return the candidates with their speed, the fastest first."""
    speedups = [found[0].ratio for found in timed.speedups]
    pairs = zip(candidates, speedups, strict=True)
    return sorted((each.tried(speedup=ratio) for each, ratio in pairs), key=lambda c: -_ratio(c))


def _ratio(candidate: Candidate) -> float:
    return candidate.trial.speedup or 0.0


def _is_faster(speedups: list[Speedup], least: float) -> bool:
    """Return whether the first batch size is faster for certain, and no other one is slower."""
    first = speedups[0]
    return first.ratio >= least and first.low > 1 and all(each.high >= 1 for each in speedups)
