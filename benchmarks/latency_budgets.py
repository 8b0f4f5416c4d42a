"""Latency budgets in fp32 and int8, met by measurement and predicted from a device's CSV file.

Usage: python -m benchmarks.latency_budgets [NAME …] [--share 0.4] [--size 224] [--output FILE]

ONNX Runtime, one thread, batch 1, random weights: they decide which filters are removed, but do not
affect speed. For each network and precision:

* ``measured``: the budget is met as the worker does it, by measuring whole networks.
* ``predicted``: `secateur_bench.py` measures the layers here as it would on a user's device, widths
  are chosen from its CSV file alone, and the prediction is compared with the whole network.

Writes JSON. Takes about ten minutes on two quiet cores.
"""

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from app.contracts.latencies import Latencies, read_latencies
from benchmarks.machine import machine
from benchmarks.networks import build
from secateur import secateur_bench
from secateur.engine.export.onnx import export_onnx
from secateur.engine.graph import Analysis, analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.latency import (
    LatencyModel,
    LatencyTable,
    LayerShape,
    LayerTimer,
    Precision,
    bench_of,
    fit_latency,
)
from secateur.engine.measure import compare_latency
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.quantize import Int8Trials, QuantizeOptions
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import Budget, Selection, SelectionOptions, select
from secateur.engine.surgery import compact

NAMES = ("resnet50", "mobilenet_v2")
RUNS = 3
MOST_ROWS = 20_000


@dataclass
class Network:
    """A network, and what is needed to prune and measure it."""

    program: Program
    analysis: Analysis
    cost: CostModel
    scores: dict[str, torch.Tensor]
    folder: Path
    trials: Int8Trials

    @property
    def dense(self) -> Path:
        """The dense network's ONNX file."""
        return self.folder / "dense.onnx"

    def share(self, selection: Selection, precision: Precision) -> float:
        """Return the measured share of the dense latency that a pruned network takes."""
        plan = make_plan(self.program, self.analysis, selection.keeps, saliency=self.scores)
        pruned = self.folder / "pruned.onnx"
        export_onnx(compact(self.program, self.analysis, plan), pruned)
        if precision == "int8":
            return self.trials.measure(pruned)[0]
        found = compare_latency((self.dense, pruned), self.program.inputs, (1,))
        return 1 / found.speedups[0][0].ratio


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--share", type=float, default=0.4)
    parser.add_argument("--size", type=int, default=224, help="side of the images, in pixels")
    parser.add_argument("--seconds", type=float, default=0.1, help="time for each width")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/budgets.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = []
    for name in options.names or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            network = open_network(name, Path(folder), options.size)
            measured = measure_layers(network, options.seconds)
            for precision in ("fp32", "int8"):
                for how, choose in (("measured", met), ("predicted", predicted)):
                    rows.append({"name": name, "budget": options.share, "precision": precision})
                    rows[-1] |= {"by": how}
                    rows[-1] |= choose(network, measured, options.share, precision)
                    print(json.dumps(rows[-1]), flush=True)
    body = {"machine": machine(), "size": options.size, "runs": RUNS, "cases": rows}
    options.output.write_text(json.dumps(body, indent=1) + "\n")


def open_network(name: str, folder: Path, size: int) -> Network:
    """Return a network of torchvision with random weights."""
    torch.manual_seed(0)
    example = torch.randn(2, 3, size, size)
    program = from_exported(export(build("tv", name).eval(), (example,)))
    analysis = analyse(program)
    scores = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    dense = folder / "dense.onnx"
    export_onnx(program, dense)
    trials = Int8Trials(dense, program.inputs, (example,), QuantizeOptions(batch_sizes=(1,)))
    return Network(program, analysis, CostModel(program, analysis), scores, folder, trials)


def measure_layers(network: Network, seconds: float) -> Latencies:
    """Return what `secateur_bench.py` measures here."""
    bench, out = network.folder / "model.bench", network.folder / "latencies.csv"
    body = {"model": "benchmark", **bench_of(network.program, network.analysis)}
    bench.write_text(json.dumps(body))
    options = ["--threads", "1", "--precision", "int8", "--network", str(network.dense)]
    options += ["--seconds", str(seconds), "--out", str(out)]
    secateur_bench.main([str(bench), *options])
    return read_latencies(out.read_bytes(), MOST_ROWS)


def met(
    network: Network, measured: Latencies, share: float, precision: Precision
) -> dict[str, Any]:
    """Return the outcome of a search that measures whole networks, as the worker does."""
    del measured
    timers: dict[str, LayerTimer] = {"fp32": LayerTimer(), "int8": LayerTimer(precision="int8")}
    began = time.perf_counter()
    [[whole]] = compare_latency((network.dense,), network.program.inputs, (1,)).latencies
    model = LatencyModel(
        network.program,
        network.analysis,
        timers[precision],
        whole.p50_seconds,
        1,
        timers["fp32"],
    )
    found = fit_latency(
        network.analysis,
        network.scores,
        _options(share),
        (network.cost, model),
        lambda selection: network.share(selection, precision),
    )
    seconds = time.perf_counter() - began
    return _outcome(network, found.selection, precision) | {
        "trials": found.trials,
        "selection_seconds": round(seconds, 1),
    }


def predicted(
    network: Network, measured: Latencies, share: float, precision: Precision
) -> dict[str, Any]:
    """Return the outcome of a choice from a device's file, and its prediction."""
    tables = {name: _table(measured, name) for name in ("fp32", "int8")}
    model = LatencyModel(
        network.program,
        network.analysis,
        tables[precision],
        measured.network_seconds,
        1,
        tables["fp32"],
    )
    options = _options(share)
    found = select(network.analysis, network.scores, options, network.cost, model)
    return _outcome(network, found, precision) | {
        "predicted": round(model.seconds(found.keeps) / model.dense_seconds, 4)
    }


def _outcome(network: Network, found: Selection, precision: Precision) -> dict[str, Any]:
    shares = sorted(network.share(found, precision) for _ in range(RUNS))
    return {
        "latency_left": round(shares[RUNS // 2], 4),
        "latency_left_runs": [round(each, 4) for each in shares],
        "macs_left": round(network.cost.macs(found.keeps) / network.cost.macs({}), 4),
        "recipe": network.trials.recipe.name if precision == "int8" else None,
    }


def _options(share: float) -> SelectionOptions:
    return SelectionOptions(Budget("latency", share), round_to="auto")


def _table(measured: Latencies, precision: str) -> LatencyTable:
    make: Callable[..., LayerShape] = LayerShape
    return LatencyTable(
        {make(batch_size=1, **k._asdict()): s for k, s in measured.seconds[precision].items()}
    )


if __name__ == "__main__":
    main()
