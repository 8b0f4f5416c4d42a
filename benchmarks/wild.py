"""Networks of other packages, exported as their libraries call them: 50 % of every width, L1.

Usage: python -m benchmarks.wild [NAME …] [--fixed-batch] [--without-peer] [--resume]
    [--output FILE]
Run it in an environment of its own, with the packages of `wild_networks`: pip install ultralytics
transformers monai facenet-pytorch segmentation-models-pytorch openunmix kornia torch-pruning==1.6.1
Each network is exported with a dynamic batch (or a batch of 1), saved, read, pruned and certified;
Torch-Pruning prunes the same module in a process of its own. One thread, no times. Writes JSON.
"""

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.coverage import LIMITS
from benchmarks.machine import commit, machine
from benchmarks.wild_networks import NETWORKS
from secateur.engine.errors import EngineError
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.plan import make_plan
from secateur.engine.program.program import Program
from secateur.engine.program.reader import read_program
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import select
from secateur.engine.surgery import certify, compact, mask_program

PEER_CPU_SECONDS = 60  # not of the wall clock, which counts what else the machine does
_PEER_WALL_SECONDS = 900
PRUNED = 0.6  # largest share of MACs left


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--fixed-batch", action="store_true")
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--resume", action="store_true", help="keep the networks in the output")
    parser.add_argument("--peer-of")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/wild.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if options.peer_of:
        _print_peer(options.peer_of)
        return
    rows = []
    if options.resume and options.output.is_file():
        rows = json.loads(options.output.read_text())["networks"]
    done = {row["name"] for row in rows}
    for name in options.names or NETWORKS:
        if name in done:
            continue
        row = {"name": name, "commit": commit(), **measure(name, is_fixed=options.fixed_batch)}
        if not options.without_peer and "missing" not in row:
            row["peer"] = _peer(name)
        rows.append(row)
        print(json.dumps(row), flush=True)
        body = {"machine": machine(), "is_batch_fixed": options.fixed_batch, **_summary(rows)}
        options.output.write_text(json.dumps({**body, "networks": rows}, indent=1) + "\n")


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found = [row for row in rows if "missing" not in row and "no_export" not in row]
    peers = [row["peer"] for row in found if "peer" in row]
    return {
        "measured": len(found),
        "accepted": sum("refused" not in row for row in found),
        "pruned_to_60_percent": sum(row.get("macs_left", 1) <= PRUNED for row in found),
        "peer_measured": len(peers),
        "peer_pruned_to_60_percent": sum(peer.get("macs_left", 1) <= PRUNED for peer in peers),
    }


def measure(name: str, *, is_fixed: bool) -> dict[str, Any]:
    """Export, read, prune and certify one network."""
    try:
        model, inputs = build(name, 1 if is_fixed else 2)
    except ImportError as error:
        return {"missing": str(error)[:200]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt2"
        dynamic = None if is_fixed else ({0: torch.export.Dim("batch", min=1)},)
        try:
            exported = torch.export.export(model, inputs, dynamic_shapes=dynamic)
            torch.export.save(exported, path)
        except Exception as error:  # noqa: BLE001  # whatever torch cannot export
            return {"no_export": f"{type(error).__name__}: {error}"[:300]}
        try:
            return _prune(read_program(path))
        except EngineError as error:
            return {"refused": f"{type(error).__name__}: {error}"[:300]}


def build(name: str, batch_size: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Return a network with random weights, and one batch of its input."""
    maker, shape = NETWORKS[name]
    torch.manual_seed(0)
    model = maker().eval()
    generator = torch.Generator().manual_seed(0)
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.dim() == 1 and tensor.is_floating_point():  # scales, biases and statistics
            tensor.data.uniform_(0.5, 1.5, generator=generator)
    return model, (torch.rand(batch_size, *shape, generator=generator),)


def _prune(program: Program) -> dict[str, Any]:
    analysis = analyse(program)
    saliency = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    cost = CostModel(program, analysis)
    keeps = select(analysis, saliency, LIMITS, cost).keeps
    plan = make_plan(program, analysis, keeps, saliency=saliency)
    inexact = tuple(sorted({op for f in analysis.families for op in f.inexact_ops}))
    smaller = compact(program, analysis, plan)
    found = certify(mask_program(program, plan), smaller, [program.example_inputs(2)], inexact)
    reasons: dict[str, int] = {}
    for frozen in analysis.frozen:
        reason = f"{frozen.pin.reason} ({frozen.pin.op})"
        reasons[reason] = reasons.get(reason, 0) + frozen.num_channels
    return {
        "macs_left": round(cost.macs(plan.keeps()) / max(1, cost.macs({})), 4),
        "params_left": round(cost.params(plan.keeps()) / cost.params({}), 4),
        "float64_max_relative_error": found.float64.max_relative_error,
        "inexact_ops": inexact,
        "frozen_filters": reasons,
    }


def _print_peer(name: str) -> None:
    from benchmarks.peer_torch_pruning import measure as prune_with_peer  # noqa: PLC0415  # optional

    resource.setrlimit(resource.RLIMIT_CPU, (PEER_CPU_SECONDS, PEER_CPU_SECONDS + 5))
    model, inputs = build(name, 1)
    print(json.dumps(prune_with_peer(model, *inputs)))


def _peer(name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.wild", "--peer-of", name]
    try:
        found = subprocess.run(  # noqa: S603  # our own module
            command, capture_output=True, text=True, timeout=_PEER_WALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"more than {_PEER_WALL_SECONDS} s"}
    if found.returncode == -signal.SIGXCPU:
        return {"error": f"more than {PEER_CPU_SECONDS} CPU seconds"}
    if found.returncode:
        lines = found.stderr.strip().splitlines()
        return {"error": lines[-1][:200] if lines else "no message"}
    result = json.loads(found.stdout.strip().splitlines()[-1])
    return {name: result[name] for name in ("macs_left", "params_left")}


if __name__ == "__main__":
    main()
