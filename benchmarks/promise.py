"""Accuracy of ``selection: {mode: accuracy, max_drop: 0.005}`` on Fashion-MNIST with ResNet-20.

Usage: python -m benchmarks.promise [--seeds 0 1 2] [--max-drop 0.005] [--epochs 1] [--threads 1].
Complete jobs in this process, as `secateur-engine prune` runs them. The search uses 5,000
validation images; t10k is evaluated once, at the end. Rows are appended to results/promise.jsonl.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from app.contracts.spec import PreprocessSpec, PruneConfig
from benchmarks.machine import machine
from examples.data import load_images
from examples.export_model import export_resnet20
from worker.cli.local import local_request
from worker.cli.progress import ConsoleReporter
from worker.pipeline.prune import prune

RESULTS = Path(__file__).parent / "results" / "promise.jsonl"


def main() -> None:
    """Run one job per seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--max-drop", type=float, default=0.005)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for seed in options.seeds:
        row = run(seed, options)
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row))


def run(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run one search and return its result on both splits."""
    started, cpu_started = time.monotonic(), time.process_time()
    config = PruneConfig.model_validate(
        {
            "selection": {"mode": "accuracy", "max_drop": options.max_drop},
            "retrain": {"epochs": options.epochs},
            "seed": seed,
        }
    )
    images = load_images(is_fallback_allowed=False)
    spec = PreprocessSpec.model_validate(images.preprocess())
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model, data = home / "m.pt2", home / "data.npz"
        export_resnet20(images.name, model)
        images.write_npz(data)
        with (
            local_request(
                model, None, config, data, home / "out", "cpu", options.threads, spec
            ) as request,
            ConsoleReporter(Console(stderr=True)) as reporter,
        ):
            prune(request, reporter)
        report = json.loads((home / "out" / "report.json").read_text())
    dense, retrained = _top1(report["dense"]["metrics"]), _top1(report["retrained"]["metrics"])
    drops = {split: round(dense[split] - retrained[split], 4) for split in dense}
    return {
        "seed": seed,
        "max_drop": options.max_drop,
        "epochs": options.epochs,
        "macs": report["retrained"]["macs"] / report["dense"]["macs"],
        "dense": dense,
        "retrained": retrained,
        "drop": drops,
        "is_kept": drops["validation"] <= options.max_drop,
        "trials": report["accuracy_trials"],
        "seconds": round(time.monotonic() - started),
        "cpu_seconds": round(time.process_time() - cpu_started),
        "search_seconds": round(report["stage_seconds"]["select"]),
        "machine": machine(),
    }


def _top1(metrics: list[dict[str, Any]]) -> dict[str, float]:
    return {m["split"]: m["top1"] for m in metrics if m["runtime"] == "torch"}


if __name__ == "__main__":
    main()
