"""What the engine can prune, and how long it takes: every network at 50 % of every width, L1.

Usage: pip install timm; python -m benchmarks.coverage [NAME …] [--output FILE]
One thread, one network after the other, each time the median of three analyses. Writes JSON.
"""

import argparse
import json
import platform
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from benchmarks.networks import NETWORKS, SIZES, build
from worker.engine.errors import EngineError
from worker.engine.graph import analyse
from worker.engine.graph.cost import CostModel
from worker.engine.plan import make_plan
from worker.engine.program.exported import export, from_exported
from worker.engine.saliency import CRITERIA, SaliencyOptions
from worker.engine.selection import Ratio, SelectionOptions, select
from worker.engine.surgery import certify, compact, mask_program

RUNS = 3
DEFAULT_SIZE = 96


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/coverage.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = []
    for source, name in NETWORKS:
        if options.names and name not in options.names:
            continue
        row = {"source": source, "name": name, **_try(source, name)}
        rows.append(row)
        print(json.dumps(row), flush=True)
    body = {"machine": _machine(), "seed": 0, "summary": _summary(rows), "networks": rows}
    options.output.write_text(json.dumps(body, indent=1) + "\n")
    print(json.dumps(body["summary"], indent=1))


def measure(source: str, name: str) -> dict[str, Any]:
    """Return what pruning one network gives."""
    size = SIZES.get(name, DEFAULT_SIZE)
    started = time.perf_counter()
    program = from_exported(export(build(source, name), (torch.randn(2, 3, size, size),)))
    exported = time.perf_counter()
    analysis = analyse(program)
    times = []
    for _ in range(RUNS):
        before = time.perf_counter()
        analysis = analyse(program)
        times.append(time.perf_counter() - before)
    before = time.perf_counter()
    cost = CostModel(program, analysis)
    saliency = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    limits = SelectionOptions(Ratio(0.5), min_channels=1, round_to=1)
    keeps = select(analysis, saliency, limits, cost).keeps
    plan = make_plan(program, analysis, keeps, saliency=saliency)
    smaller = compact(program, analysis, plan)
    cut = time.perf_counter()
    inexact = tuple(sorted({op for f in analysis.families for op in f.inexact_ops}))
    batches = [program.example_inputs(2)]
    certificate = certify(mask_program(program, plan), smaller, batches, inexact)
    return {
        "is_pruned": True,
        "macs_left": round(cost.macs(keeps) / cost.macs({}), 4),
        "params_left": round(cost.params(keeps) / cost.params({}), 4),
        "num_families": len(analysis.families),
        "num_frozen": len(analysis.frozen),
        "inexact_ops": inexact,
        "float64_max_relative_error": certificate.float64.max_relative_error,
        "float32_max_relative_error": certificate.float32.max_relative_error,
        "export_seconds": round(exported - started, 3),
        "analysis_seconds": round(statistics.median(times), 4),
        "saliency_to_compaction_seconds": round(cut - before, 4),
        "certificate_seconds": round(time.perf_counter() - cut, 3),
    }


def _try(source: str, name: str) -> dict[str, Any]:
    try:
        return measure(source, name)
    except EngineError as error:
        return {"is_pruned": False, "error": f"{type(error).__name__}: {error}"}


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    pruned = [row for row in rows if row["is_pruned"]]
    exact = [row for row in pruned if not row["inexact_ops"]]
    return {
        "num_networks": len(rows),
        "num_pruned": len(pruned),
        "num_exact": len(exact),
        "worst_exact_float64_error": max(row["float64_max_relative_error"] for row in exact),
        "num_macs_at_most_045": sum(row["macs_left"] <= 0.45 for row in pruned),  # noqa: PLR2004
        "slowest_analysis_seconds": max(row["analysis_seconds"] for row in pruned),
        "geometric_mean_analysis_seconds": round(
            statistics.geometric_mean(row["analysis_seconds"] for row in pruned), 4
        ),
    }


def _machine() -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
