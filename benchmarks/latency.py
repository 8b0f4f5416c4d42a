"""Latency of networks pruned to MAC and latency budgets: ONNX Runtime, one thread.

Usage: pip install timm; python -m benchmarks.latency [NAME …] [--output FILE]. Dense and pruned
files alternate in one run; medians. Weights are random: they decide which filters are removed, but
do not affect speed. Writes JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.machine import machine
from benchmarks.networks import build
from examples.resnet20 import ResNet20
from secateur.engine.export.onnx import export_onnx
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.latency import LatencyModel, LayerTimer, fit_latency
from secateur.engine.measure import compare_latency
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import Budget, Selection, SelectionOptions, select
from secateur.engine.surgery import compact

RUNS = 3
BATCH_SIZES = (1, 8)


@dataclass(frozen=True)
class Case:
    """A network and the options to prune it with."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    options: SelectionOptions


CASES = [
    Case(
        "resnet50",
        lambda: build("tv", "resnet50"),
        (3, 224, 224),
        SelectionOptions(Budget("macs", 0.5), round_to="auto"),
    ),
    Case(
        "vgg16_bn",
        lambda: build("tv", "vgg16_bn"),
        (3, 224, 224),
        SelectionOptions(Budget("macs", 0.5), round_to="auto"),
    ),
    Case(
        "resnet20",
        ResNet20,
        (1, 28, 28),
        SelectionOptions(Budget("latency", 0.6), round_to="auto"),
    ),
    Case(
        "efficientnet_lite0",
        lambda: build("timm", "efficientnet_lite0"),
        (3, 224, 224),
        SelectionOptions(Budget("latency", 0.6), round_to="auto"),
    ),
    # The cost of ignoring the latency staircase: 11 of 16 channels, as the anchor keeps.
    Case(
        "resnet20",
        ResNet20,
        (1, 28, 28),
        SelectionOptions(Budget("macs", 0.5), round_to=1),
    ),
]


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/latency.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = []
    for case in CASES:
        if options.names and case.name not in options.names:
            continue
        rows.append(measure(case))
        print(json.dumps(rows[-1]), flush=True)
    body = {"machine": machine(), "seed": 0, "runs": RUNS, "cases": rows}
    options.output.write_text(json.dumps(body, indent=1) + "\n")


def measure(case: Case) -> dict[str, Any]:
    """Prune to the budget and return the MACs and latencies."""
    torch.manual_seed(0)
    example = torch.randn(2, *case.shape)
    program = from_exported(export(case.build().eval(), (example,)))
    analysis = analyse(program)
    cost = CostModel(program, analysis)
    scores = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    with tempfile.TemporaryDirectory() as name:
        dense, pruned = Path(name) / "dense.onnx", Path(name) / "pruned.onnx"
        export_onnx(program, dense)

        def ratios(selection: Selection, batch_sizes: tuple[int, ...]) -> list[float]:
            plan = make_plan(program, analysis, selection.keeps, saliency=scores)
            export_onnx(compact(program, analysis, plan), pruned)
            found = compare_latency((dense, pruned), program.inputs, batch_sizes)
            return [1 / speedup.ratio for speedup in found.speedups[0]]

        started = time.perf_counter()
        timer = LayerTimer()
        [[whole]] = compare_latency((dense,), program.inputs, (1,)).latencies
        latency = LatencyModel(program, analysis, timer, whole.p50_seconds)
        trials: tuple[tuple[float, float], ...] = ()
        if isinstance(case.options.mode, Budget) and case.options.mode.unit == "latency":
            fit = fit_latency(
                analysis, scores, case.options, (cost, latency), lambda s: ratios(s, (1,))[0]
            )
            selection, trials = fit.selection, fit.trials
        else:
            selection = select(analysis, scores, case.options, cost, latency)
        chosen = time.perf_counter() - started
        runs = [ratios(selection, BATCH_SIZES) for _ in range(RUNS)]
    mode = case.options.mode
    assert isinstance(mode, Budget)  # noqa: S101  # every case is one
    macs_left = cost.macs(selection.keeps) / cost.macs({})
    return {
        "name": case.name,
        "budget": {mode.unit: mode.share},
        "round_to": case.options.round_to,
        "macs_left": round(macs_left, 4),
        "latency_left": {
            str(size): round(statistics.median(run[index] for run in runs), 4)
            for index, size in enumerate(BATCH_SIZES)
        },
        "latency_over_macs": {
            str(size): round(statistics.median(run[index] for run in runs) / macs_left, 3)
            for index, size in enumerate(BATCH_SIZES)
        },
        "trials": trials,
        "num_layer_shapes_measured": len(timer.seconds),
        "selection_seconds": round(chosen, 1),
        "widths": {
            name: f"{int(keep.sum())}/{len(keep)}" for name, keep in selection.keeps.items()
        },
    }


if __name__ == "__main__":
    main()
