"""Latency of pruned networks in int8, for the search of a latency budget.

A trial's file is calibrated with a few samples and judged by its speed alone: whether int8 keeps
its promise is decided once, on the network that is the result (`search`).
"""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from secateur.engine.latency.timer import Precision
from secateur.engine.measure import compare_latency
from secateur.engine.program.program import InputSpec
from secateur.engine.quantize.options import QuantizeOptions
from secateur.engine.quantize.recipes import RECIPES, Recipe
from secateur.engine.quantize.writing import write_int8

_INT8 = "trial_int8.onnx"


class Int8Trials:
    """Measures pruned networks in fp32 and int8 beside the dense network in fp32.

    Attributes:
        recipe: The recipe that is fastest for the dense network.
        dense_share: Share of the dense network's fp32 latency that it takes in int8.
    """

    def __init__(
        self,
        dense: Path,
        inputs: Sequence[InputSpec],
        samples: Sequence[Tensor],
        options: QuantizeOptions,
    ) -> None:
        """Choose the recipe that is fastest for the dense network.

        Args:
            dense: The dense network's ONNX file; int8 files are written beside it.
            inputs: Its inputs.
            samples: One batch to calibrate with.
            options: How to measure; only the first batch size counts.

        Raises:
            ExportError: The network cannot be quantised.
        """
        self._dense, self._inputs, self._options = dense, inputs, options
        self._batches = [tuple(samples)]
        self._path = dense.parent / _INT8
        speeds = [self._speeds(dense, recipe)[1] for recipe in RECIPES]
        self.recipe = RECIPES[speeds.index(max(speeds))]
        self.dense_share = 1 / max(speeds)

    def measure(self, pruned: Path) -> tuple[float, Precision]:
        """Return the share of the dense latency that a pruned network takes, and its precision.

        Int8 counts if it is as much faster than fp32 as an int8 file must be to be kept.
        """
        fp32, int8 = self._speeds(pruned, self.recipe)
        if int8 >= self._options.least_speedup * fp32:
            return 1 / int8, "int8"
        return 1 / fp32, "fp32"

    def _speeds(self, pruned: Path, recipe: Recipe) -> tuple[float, float]:
        """Return the speeds of a network in fp32 and int8, relative to the dense fp32 network."""
        options = self._options
        write_int8(pruned, self._path, self._batches, target=options.target, recipe=recipe)
        found = compare_latency(
            (self._dense, pruned, self._path),
            self._inputs,
            options.batch_sizes[:1],
            num_threads=options.num_threads,
            provider=options.provider,
            seconds=options.seconds,
        )
        [[fp32], [int8]] = found.speedups
        return fp32.ratio, int8.ratio
