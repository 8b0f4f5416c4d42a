"""Accuracy after pruning and retraining against Torch-Pruning: Fashion-MNIST, ResNet-20.

Usage: pip install torch-pruning==1.6.1; python -m benchmarks.quality [--seeds 0 1 2] [--targets
0.125 0.25 0.5] [--kinds mixed distill peer repaired] [--epochs 1 3] [--criteria l1] [--batch-size
64] [--threads 1]. Both sides prune the dense network of the demo to a share of its MACs and train
it for 3 epochs in the same order of the same 55,000 images, in float32; t10k is evaluated once, at
the end. Both augment images. Our side uses the service's defaults otherwise, without a learning
rate. Kind ``repaired`` prunes by each of ``--criteria``, repairs the network from 512 images and
trains it for each number in ``--epochs``, in batches of ``--batch-size``, without augmentation.
Rows are appended to benchmarks/results/quality.jsonl, and rows that exist are skipped.
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from app.contracts.repair_spec import RepairSpec
from benchmarks.machine import machine
from examples.data import TEST, TRAIN, VALIDATION, Images, load_images
from examples.resnet20 import ResNet20
from examples.train_resnet20 import weights_path
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.metrics import evaluate
from secateur.engine.objectives import ObjectiveOptions
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.repair import repair_program
from secateur.engine.retrain import (
    AugmentOptions,
    RetrainOptions,
    TrainingData,
    recalibrate,
    retrain_program,
)
from secateur.engine.retrain.range_test import find_learning_rate
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from secateur.engine.samples import TensorSource, spread
from secateur.engine.selection import Budget, SelectionOptions, select
from secateur.engine.surgery import compact

RESULTS = Path(__file__).parent / "results" / "quality.jsonl"
EPOCHS = 3
BATCH_SIZE = 128
PEER_ROWS = {
    0.125: [("l1", "global")],
    0.25: [("l1", "global")],
    0.5: [("l1", "layer"), ("taylor", "global")],
}  # the best of the anchors' four criteria at each target; both if tied


def main() -> None:
    """Run the missing rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--targets", type=float, nargs="+", default=[0.125, 0.25, 0.5])
    parser.add_argument("--kinds", nargs="+", default=["mixed", "peer", "distill", "repaired"])
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, EPOCHS])
    parser.add_argument("--criteria", nargs="+", default=["l1"])
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for kind in options.kinds:
        for target in options.targets:
            for seed in options.seeds:
                for row in _wanted(kind, target, seed, options):
                    if not _is_known(row):
                        _append(_run(row, options.threads))


def _wanted(
    kind: str, target: float, seed: int, options: argparse.Namespace
) -> list[dict[str, Any]]:
    row = {"kind": kind, "target": target, "seed": seed}
    if kind == "repaired":
        row |= {"batch_size": options.batch_size, "is_augmented": False}
        pairs = itertools.product(options.criteria, options.epochs)
        return [{**row, "criterion": c, "epochs": number} for c, number in pairs]
    if kind != "peer":
        return [{**row, "criterion": "l1"}]
    return [{**row, "criterion": c, "scope": scope} for c, scope in PEER_ROWS[target]]


def _run(row: dict[str, Any], threads: int) -> dict[str, Any]:
    if row["kind"] == "peer":
        names = ("target", "criterion", "scope", "seed")
        flags = [word for name in names for word in (f"--{name}", str(row[name]))]
        command = [sys.executable, "-m", "benchmarks.peer_quality", *flags]
        done = subprocess.run(  # noqa: S603  # our own module
            [*command, "--threads", str(threads)], check=True, capture_output=True, text=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
    else:
        training = RetrainOptions(
            epochs=row.get("epochs", EPOCHS),
            batch_size=row.get("batch_size", BATCH_SIZE),
            augment=AugmentOptions(crop=2, flip=True)
            if row.get("is_augmented", True)
            else AugmentOptions(),
            precision="float32",
            seed=row["seed"],
        )
        found = ours(row["kind"], row["target"], training, row["criterion"])
    return {**row, **found, "machine": machine()}


def ours(
    kind: str, target: float, training: RetrainOptions, criterion: str = "l1"
) -> dict[str, Any]:
    """Prune and retrain with the engine, as the pipeline does; return one row."""
    images = load_images(is_fallback_allowed=False)
    source, splits = _source(images, has_labels=kind != "distill")
    program = dense_program(images)
    started, cpu = time.monotonic(), time.process_time()
    analysis = analyse(program)
    cost = CostModel(program, analysis)
    seen = CalibrationBatch((source.batch(splits[TRAIN][:256])[0],))
    scores = CRITERIA[criterion](program, analysis, (seen,), SaliencyOptions())
    limits = SelectionOptions(Budget("macs", target), min_channels=2, round_to=1, max_ratio=0.95)
    keeps = select(analysis, scores, limits, cost).keeps
    plan = make_plan(program, analysis, keeps)
    calibration = [source.batch(part)[0] for part in splits[TRAIN][:2048].split(256)]
    pruned = compact(program, analysis, plan)
    recalibrated = start = recalibrate(pruned, calibration)
    if kind == "repaired":
        chosen = spread(splits[TRAIN], RepairSpec().num_samples)
        samples = [(source.batch(part)[0],) for part in chosen.split(64)]
        start = repair_program(program, analysis, plan, samples).program
    data = TrainingData(
        source, splits[TRAIN], splits[VALIDATION], "none" if kind == "distill" else "classes"
    )
    options = replace(
        training, objective=ObjectiveOptions("distill" if kind == "distill" else "mixed")
    )
    found = find_learning_rate(start, data, options, program)
    optimizer = replace(options.optimizer, learning_rate=found.learning_rate)
    before = evaluate(start, source, splits[VALIDATION]) if kind == "repaired" else None
    result = retrain_program(
        start, data, replace(options, optimizer=optimizer), teacher=program, start=before
    )
    labelled, _ = _source(images, has_labels=True)
    score = {
        name: evaluate(network, labelled, splits[TEST]).top1
        for name, network in (
            ("dense", program), ("pruned", pruned), ("recalibrated", recalibrated),
            *([("repaired", start)] if kind == "repaired" else []), ("retrained", result.program),
        )
    }  # fmt: skip
    return {
        **score,
        "validation": evaluate(result.program, labelled, splits[VALIDATION]).top1,
        "macs": cost.macs(keeps) / cost.macs({}),
        "params": cost.params(keeps) / cost.params({}),
        "learning_rate": found.learning_rate,
        "seconds": round(time.monotonic() - started),
        "cpu_seconds": round(time.process_time() - cpu),
    }


def dense_program(images: Images) -> Program:
    """Return the demo's dense ResNet-20 for these images."""
    network = ResNet20()
    network.load_state_dict(load_file(weights_path(images.name)))
    return from_exported(export(network.eval(), (torch.randn(2, 1, 28, 28),)))


def _source(images: Images, *, has_labels: bool) -> tuple[TensorSource, dict[int, torch.Tensor]]:
    x = torch.from_numpy(images.normalise(images.x))
    y = torch.from_numpy(images.y) if has_labels else None
    split = torch.from_numpy(images.split)
    return TensorSource(x, y), {
        number: (split == number).nonzero().flatten() for number in (TRAIN, VALIDATION, TEST)
    }


def _is_known(row: dict[str, Any]) -> bool:
    if not RESULTS.exists():
        return False
    known = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return any(all(found.get(name) == value for name, value in row.items()) for found in known)


def _append(row: dict[str, Any]) -> None:
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps({name: value for name, value in row.items() if name != "machine"}), flush=True)


if __name__ == "__main__":
    main()
