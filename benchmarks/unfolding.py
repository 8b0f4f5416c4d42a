"""Training a network whose BatchNorm an exporter has folded, with and without BatchNorm put back.

Usage: python -m benchmarks.unfolding [--targets 0.5 0.25] [--seeds 0 1] [--threads 1]
The demo's trained ResNet-20 is exported to ONNX with BatchNorm folded, as exporters do, read again,
pruned to a share of its MACs (l1), repaired from 512 images and trained for one epoch with labels
and teacher, at the peak that the range test of each network finds. With BatchNorm
(`secateur.engine.retrain.unfolding`), its statistics are measured again if that is better on the
validation images, as a job does. t10k is evaluated once for each network. Rows are appended to
benchmarks/results/unfolding.jsonl, and rows that exist are skipped.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.machine import machine
from examples.data import TEST, TRAIN, VALIDATION, load_images
from examples.resnet20 import ResNet20
from examples.train_resnet20 import weights_path
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.metrics import evaluate
from secateur.engine.objectives import ObjectiveOptions
from secateur.engine.onnx_in.reader import read_onnx
from secateur.engine.plan import make_plan
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
from secateur.engine.retrain.unfolding import unfold
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.samples import TensorSource, spread
from secateur.engine.selection import Budget, SelectionOptions, select

RESULTS = Path(__file__).parent / "results" / "unfolding.jsonl"


def main() -> None:
    """Run the missing rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=float, nargs="+", default=[0.5, 0.25])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for target in options.targets:
        for seed in options.seeds:
            for is_unfolded in (False, True):
                row = {"target": target, "seed": seed, "with_batch_norm": is_unfolded}
                if not _is_known(row):
                    found = {**row, **measure(target, seed, is_unfolded=is_unfolded)}
                    with RESULTS.open("a") as file:
                        file.write(json.dumps({**found, "machine": machine()}) + "\n")


def measure(target: float, seed: int, *, is_unfolded: bool) -> dict[str, Any]:
    """Return the accuracy of one trained network, and of those that it was made from."""
    images = load_images(is_fallback_allowed=False)
    source = TensorSource(torch.from_numpy(images.normalise(images.x)), torch.from_numpy(images.y))
    split = torch.from_numpy(images.split)
    train, held, test = ((split == n).nonzero().flatten() for n in (TRAIN, VALIDATION, TEST))
    program = folded_program(images.name)
    cpu = time.process_time()
    analysis = analyse(program)
    cost = CostModel(program, analysis)
    scores = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    rule = SelectionOptions(Budget("macs", target), min_channels=2, round_to=1, max_ratio=0.95)
    plan = make_plan(program, analysis, select(analysis, scores, rule, cost).keeps)
    batches = [source.batch(part)[0] for part in spread(train, 512).split(64)]
    repaired = repair_program(program, analysis, plan, [(batch,) for batch in batches]).program
    unfolded = unfold(repaired, batches) if is_unfolded else None
    start = repaired if unfolded is None else unfolded.program
    data = TrainingData(source, train, held, "classes")
    options = RetrainOptions(
        epochs=1,
        objective=ObjectiveOptions("mixed"),
        augment=AugmentOptions(crop=2, flip=True),
        precision="float32",
        seed=seed,
    )
    rate = find_learning_rate(start, data, options, program).learning_rate
    options = replace(options, optimizer=replace(options.optimizer, learning_rate=rate))
    trained = retrain_program(start, data, options, teacher=program).program
    if unfolded is not None:
        calibration = [source.batch(part)[0] for part in train[:2048].split(256)]
        candidates = (trained, recalibrate(trained, calibration))
        trained = unfolded.fold(max(candidates, key=lambda each: evaluate(each, source, held).top1))
    return {
        "num_unfolded": 0 if unfolded is None else len(unfolded.layers),
        "macs": cost.macs(plan.keeps()) / cost.macs({}),
        "learning_rate": rate,
        "dense": evaluate(program, source, test).top1,
        "repaired": evaluate(repaired, source, test).top1,
        "validation": evaluate(trained, source, held).top1,
        "retrained": evaluate(trained, source, test).top1,
        "cpu_seconds": round(time.process_time() - cpu),
    }


def folded_program(images: str) -> Program:
    """Return the demo's dense ResNet-20 from an ONNX file with folded BatchNorm."""
    network = ResNet20()
    network.load_state_dict(load_file(weights_path(images)))
    batch = {0: torch.export.Dim("batch", min=1)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            network.eval(), (torch.randn(2, 1, 28, 28),), path, dynamic_shapes=(batch,),
            external_data=False, verbose=False,
        )  # fmt: skip
        return read_onnx(path)


def _is_known(row: dict[str, Any]) -> bool:
    if not RESULTS.exists():
        return False
    known = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return any(all(found.get(name) == value for name, value in row.items()) for found in known)


if __name__ == "__main__":
    main()
