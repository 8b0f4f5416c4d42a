"""Int8 files that the search may choose from."""

import itertools
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from onnxruntime.quantization.calibrate import TensorsData

from secateur.engine.errors import ExportError
from secateur.engine.quantize.calibration import Batches, CalibrationName, measure_ranges
from secateur.engine.quantize.fusion import count_fused
from secateur.engine.quantize.prepared import Prepared
from secateur.engine.quantize.recipes import RECIPES, Recipe
from secateur.engine.quantize.result import FloatLayer, Trial
from secateur.engine.quantize.targets import IntegerTypes
from secateur.engine.quantize.writing import write_quantized


@dataclass(frozen=True)
class Candidate:
    """An int8 file that was written.

    Attributes:
        path: The file.
        recipe: The operators that are integer in it.
        trial: What is known about it.
        ends: Names of first and last layers that stay float.
        worst: Names of layers that stay float because they lose the most.
    """

    path: Path
    recipe: Recipe
    trial: Trial
    ends: frozenset[str]
    worst: tuple[str, ...] = ()

    def tried(self, *, speedup: float | None = None, drop: float | None = None) -> "Candidate":
        """Return the candidate with what a trial has found."""
        speedup = self.trial.speedup if speedup is None else speedup
        drop = self.trial.drop if drop is None else drop
        return replace(self, trial=replace(self.trial, speedup=speedup, drop=drop))


@dataclass
class Candidates:
    """Writer of int8 files of one network, with ranges that are measured once.

    Attributes:
        prepared: The fp32 network.
        folder: Where the files go.
        batches: The samples.
        types: The integer types.
        failed: Files that could not be written or run.
    """

    prepared: Prepared
    folder: Path
    batches: Batches
    types: IntegerTypes
    failed: list[Trial] = field(default_factory=list)
    _ranges: dict[CalibrationName, TensorsData] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def ranges(self, calibration: CalibrationName) -> TensorsData:
        """Return the ranges of activations; measured on first use.

        Raises:
            DataError: A sample is not finite.
            ExportError: The network cannot compute a sample.
        """
        if calibration not in self._ranges:
            extremes = None if calibration == "minmax" else self.ranges("minmax")
            self._ranges[calibration] = measure_ranges(
                self.prepared, self.batches, calibration, extremes
            )
        return self._ranges[calibration]

    def write_recipes(self) -> list[Candidate]:
        """Write every recipe with and without float ends; files that are the same are left out."""
        found: list[Candidate] = []
        seen: set[bytes] = set()
        ends = self.prepared.ends
        has_inner = len(ends) < len(self.prepared.layers)
        for recipe in RECIPES:
            for excluded in (ends, frozenset()) if has_inner else (frozenset(),):
                candidate = self.write(recipe, excluded, "minmax")
                if candidate is None:
                    continue
                content = candidate.path.read_bytes()
                if content not in seen:
                    seen.add(content)
                    found.append(candidate)
        return found

    def write(
        self,
        recipe: Recipe,
        ends: Collection[str],
        calibration: CalibrationName,
        worst: tuple[str, ...] = (),
    ) -> Candidate | None:
        """Write a file; None if ONNX Runtime cannot write or run it."""
        path = self.folder / f"int8_{next(self._numbers)}.onnx"
        trial = Trial(recipe.name, calibration, bool(ends), len(worst))
        ranges = self.ranges(calibration)
        try:
            write_quantized(self.prepared, path, ranges, self.types, recipe, {*ends, *worst})
            trial = replace(trial, fusion=count_fused(path))
        except ExportError as error:
            self.failed.append(replace(trial, trouble=str(error)))
            return None
        return Candidate(path, recipe, trial, frozenset(ends), worst)

    def float_layers(self, candidate: Candidate) -> tuple[FloatLayer, ...]:
        """Return the layers of a candidate that stay float, and why."""
        why = dict.fromkeys(candidate.ends, "first or last layer")
        why |= dict.fromkeys(candidate.worst, "loses most in int8")
        return tuple(
            FloatLayer(self.prepared.label(node), node.op_type, why[node.name])
            for node in self.prepared.layers
            if node.name in why
        )
