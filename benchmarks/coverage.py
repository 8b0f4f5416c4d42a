"""Coverage and speed of the engine against Torch-Pruning: 50 % of every width, L1.

Usage: pip install timm torch-pruning==1.6.1; python -m benchmarks.coverage [NAME …] [--output FILE]
``--without-peer`` measures coverage only: one run per network and no times. Norms over channels go
on counting removed ones (config ``selection.norms: exact``).
One thread. For each network the engine runs first, then the peer in its own process; medians of
several runs. Times exclude graph export on both sides. Writes JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import machine
from benchmarks.networks import NETWORKS, build, image_size
from secateur.engine.errors import EngineError
from secateur.engine.graph import Analysis, analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.plan import Plan, make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import Ratio, SelectionOptions, select
from secateur.engine.surgery import certify, compact, mask_program

RUNS = 5
NO_PEER = {"is_pruned": False, "error": "not asked"}
PEER_TIMEOUT_SECONDS = 240
LIMITS = SelectionOptions(Ratio(0.5), min_channels=1, round_to=1)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/coverage.json"))
    parser.add_argument("--without-peer", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    num_runs = 1 if options.without_peer else RUNS
    warnings.simplefilter("ignore")
    rows = []
    for source, name in NETWORKS:
        if options.names and name not in options.names:
            continue
        row = {
            "source": source,
            "name": name,
            **_try(source, name, num_runs),
            "peer": NO_PEER if options.without_peer else _peer(source, name),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    body = {"machine": machine(), "seed": 0, "summary": _summary(rows), "networks": rows}
    options.output.write_text(json.dumps(body, indent=1) + "\n")
    print(json.dumps(body["summary"], indent=1))


def measure(source: str, name: str, num_runs: int) -> dict[str, Any]:
    """Prune one network with both sides and return the results."""
    size = image_size(source, name)
    started = time.perf_counter()
    program = from_exported(export(build(source, name), (torch.randn(2, 3, size, size),)))
    exported = time.perf_counter() - started
    analysis, analysis_seconds = _median(lambda: analyse(program, has_exact_norms=True), num_runs)
    (plan, smaller), cut_seconds = _median(
        lambda: _prune(program, analyse(program, has_exact_norms=True)), num_runs
    )
    cost = CostModel(program, analysis)
    keeps = plan.keeps()
    inexact = tuple(sorted({op for f in analysis.families for op in f.inexact_ops}))
    before = time.perf_counter()
    certificate = certify(
        mask_program(program, plan), smaller, [program.example_inputs(2)], inexact
    )
    certified = time.perf_counter() - before
    return {
        "is_pruned": True,
        "image_size": size,
        "macs_left": round(cost.macs(keeps) / cost.macs({}), 4),
        "params_left": round(cost.params(keeps) / cost.params({}), 4),
        "num_families": len(analysis.families),
        "num_frozen": len(analysis.frozen),
        "inexact_ops": inexact,
        "float64_max_relative_error": certificate.float64.max_relative_error,
        "float32_max_relative_error": certificate.float32.max_relative_error,
        "export_seconds": round(exported, 3),
        "analysis_seconds": round(analysis_seconds, 4),
        "analysis_to_compaction_seconds": round(cut_seconds, 4),
        "certificate_seconds": round(certified, 3),
        "total_seconds": round(exported + cut_seconds + certified, 3),
    }


def _prune(program: Program, analysis: Analysis) -> tuple[Plan, Program]:
    saliency = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    keeps = select(analysis, saliency, LIMITS, CostModel(program, analysis)).keeps
    plan = make_plan(program, analysis, keeps, saliency=saliency)
    return plan, compact(program, analysis, plan)


def _median(function: Callable[[], Any], num_runs: int) -> tuple[Any, float]:
    times = []
    result = None
    for _ in range(num_runs):
        before = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - before)
    return result, statistics.median(times)


def _try(source: str, name: str, num_runs: int) -> dict[str, Any]:
    try:
        return measure(source, name, num_runs)
    except EngineError as error:
        return {"is_pruned": False, "error": f"{type(error).__name__}: {error}"}


def _peer(source: str, name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.peer_torch_pruning", source, name]
    try:
        found = subprocess.run(  # noqa: S603  # our own module
            command, capture_output=True, text=True, timeout=PEER_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {"is_pruned": False, "error": f"more than {PEER_TIMEOUT_SECONDS} s"}
    if found.returncode:
        lines = found.stderr.strip().splitlines()
        return {"is_pruned": False, "error": lines[-1][:200] if lines else "no message"}
    return {"is_pruned": True, **json.loads(found.stdout.strip().splitlines()[-1])}


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    pruned = [row for row in rows if row["is_pruned"]]
    exact = [row for row in pruned if not row["inexact_ops"]]
    both = [row for row in pruned if row["peer"]["is_pruned"]]
    return {
        "num_networks": len(rows),
        "num_pruned": len(pruned),
        "num_pruned_by_peer": sum(row["peer"]["is_pruned"] for row in rows),
        "num_exact": len(exact),
        "worst_exact_float64_error": max(
            (row["float64_max_relative_error"] for row in exact), default=None
        ),
        "num_macs_at_most_045": sum(row["macs_left"] <= 0.45 for row in pruned),  # noqa: PLR2004
        "slowest_analysis_seconds": max(row["analysis_seconds"] for row in pruned),
        "slowest_total_seconds": sorted(
            ((row["total_seconds"], row["name"]) for row in pruned), reverse=True
        )[:6],
        "geometric_means_where_both_succeed": {
            "num_networks": len(both),
            "analysis_seconds": _mean(row["analysis_seconds"] for row in both),
            "analysis_to_compaction_seconds": _mean(
                row["analysis_to_compaction_seconds"] for row in both
            ),
            "analysis_speedup": _mean(
                row["peer"]["build_seconds"] / row["analysis_seconds"] for row in both
            ),
            "analysis_to_compaction_speedup": _mean(
                (row["peer"]["build_seconds"] + row["peer"]["step_seconds"])
                / row["analysis_to_compaction_seconds"]
                for row in both
            ),
        },
    }


def _mean(values: Any) -> float | None:  # noqa: ANN401  # numbers
    found = list(values)
    return round(statistics.geometric_mean(found), 4) if found else None


if __name__ == "__main__":
    main()
