"""Speed of the criterion `loss` against the naive loop: one full forward pass per group.

Usage: python -m benchmarks.ablation [--output FILE]. One thread; both sides alternate in one run;
medians of several runs. The values of both sides are compared. Writes JSON.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import machine
from benchmarks.networks import build
from examples.resnet20 import ResNet20
from secateur.engine.graph import Analysis, analyse
from secateur.engine.objectives.cross_entropy import cross_entropy
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from secateur.engine.saliency.loss import without_each_group

RUNS = 3
# Name, how to build it, input shape, samples.
SUBJECTS: list[tuple[str, Callable[[], nn.Module], tuple[int, ...], int]] = [
    ("resnet20", ResNet20, (1, 28, 28), 64),
    ("resnet18", lambda: build("tv", "resnet18"), (3, 64, 64), 8),
    ("mobilenet_v2", lambda: build("tv", "mobilenet_v2"), (3, 64, 64), 4),
    ("vgg11_bn", lambda: build("tv", "vgg11_bn"), (3, 64, 64), 2),
]


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/ablation.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = []
    for name, build_network, shape, num_samples in SUBJECTS:
        if options.names and name not in options.names:
            continue
        torch.manual_seed(0)
        example = torch.randn(2, *shape)
        program = from_exported(export(build_network().eval(), (example,)))
        batch = CalibrationBatch(
            (torch.randn(num_samples, *shape),), torch.arange(num_samples) % 10
        )
        rows.append({"name": name, "num_samples": num_samples, **measure(program, batch)})
        print(json.dumps(rows[-1]), flush=True)
    speedups = [row["speedup"] for row in rows]
    body = {
        "machine": machine(),
        "seed": 0,
        "least_speedup": min(speedups),
        "geometric_mean_speedup": round(statistics.geometric_mean(speedups), 2),
        "networks": rows,
    }
    options.output.write_text(json.dumps(body, indent=1) + "\n")
    print(json.dumps({key: body[key] for key in ("least_speedup", "geometric_mean_speedup")}))


def measure(program: Program, batch: CalibrationBatch) -> dict[str, Any]:
    """Return the seconds of both sides and the largest difference of their values."""
    analysis = analyse(program)
    options = SaliencyOptions()
    ours_seconds, naive_seconds = [], []
    ours: dict[str, Tensor] = {}
    reference: dict[str, Tensor] = {}
    for _ in range(RUNS):
        started = time.perf_counter()
        ours = CRITERIA["loss"](program, analysis, (batch,), options)
        between = time.perf_counter()
        reference = naive(program, analysis, batch)
        naive_seconds.append(time.perf_counter() - between)
        ours_seconds.append(between - started)
    scale = max(float(scores.abs().max()) for scores in reference.values())
    error = max(float((ours[name] - reference[name]).abs().max()) for name in reference)
    fast, slow = statistics.median(ours_seconds), statistics.median(naive_seconds)
    return {
        "num_groups": sum(family.num_groups for family in analysis.families),
        "naive_seconds": round(slow, 3),
        "seconds": round(fast, 3),
        "speedup": round(slow / fast, 2),
        "max_relative_error": error / scale,
    }


@torch.no_grad()
def naive(program: Program, analysis: Analysis, batch: CalibrationBatch) -> dict[str, Tensor]:
    """Return the increase of the loss per group, from one full forward pass each."""
    assert batch.labels is not None  # noqa: S101
    module = ProgramModule(program, copy=False).eval()
    dense = cross_entropy(module.run(batch.inputs)[0].double(), batch.labels)
    scores = {}
    for family in analysis.families:
        rises = []
        for tensors in without_each_group(program, family):
            edited = program.with_tensors({**program.tensors, **tensors})
            output = ProgramModule(edited, copy=False).eval().run(batch.inputs)[0]
            rises.append(float(cross_entropy(output.double(), batch.labels) - dense))
        scores[family.name] = torch.tensor(rises, dtype=torch.float64)
    return scores


if __name__ == "__main__":
    main()
