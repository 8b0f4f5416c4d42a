"""Export targets on a classifier, a detector with two outputs and a recogniser of text.

Usage: python -m benchmarks.targets [--targets openvino ncnn ...] [--seconds 1.0] [--threads 1].
Classifier and detector are pruned to about half of their MACs by l1; the recogniser is trained and
stays whole, because pruning without repair makes it sensitive to rounding. Every target that is
installed is built, compared with torch on 8 samples, and timed at batch 1 in turns with ONNX
Runtime; ONNX files at opset 11, 13 and 17 are run beside the one at opset 18. The classifier is
MobileNetV3-Small with random weights, the detector is `benchmarks.tasks.Detector` with two outputs,
the recogniser is PP-OCR's from RapidOCR. Rows of targets that are not installed here are kept, so
that targets whose packages conflict can be run one environment after the other. Writes
results/targets.json.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor

from benchmarks.machine import machine
from benchmarks.ocr import RAPIDOCR, TASKS
from benchmarks.rendered_text import HEIGHT, WIDTH, lines
from benchmarks.tasks import Detector, draw_scene
from examples.packages import CACHE, wheel
from secateur.engine.errors import ExportError
from secateur.engine.export.at_opset import write_at_opset
from secateur.engine.export.onnx import export_onnx
from secateur.engine.export.targets.build import (
    Opened,
    build_files,
    compare_outputs,
    missing_modules,
)
from secateur.engine.export.targets.target import Source, Target
from secateur.engine.export.targets.targets import TARGETS
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.measure import Latency, time_beside
from secateur.engine.onnx_in.reader import read_onnx
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import from_module
from secateur.engine.program.program import Program
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import Budget, SelectionOptions, select
from secateur.engine.surgery import compact

RESULTS = Path(__file__).parent / "results" / "targets.json"
OPSETS = (11, 13, 17)
_NUM_SAMPLES = 8
_MACS = 0.5

_PRUNED = frozenset({"classifier", "detector"})

Network = tuple[Program, Tensor]


class TwoOutputs(Detector):
    """The detector with its sides and classes as two outputs."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Return distances to the sides of boxes and logits of classes, (N, …, h, w)."""
        x = self.body(x)
        return {"sides": torch.nn.functional.softplus(self.sides(x)), "classes": self.classes(x)}


def classifier() -> Network:
    """Return MobileNetV3-Small, and noise."""
    x = torch.randn(_NUM_SAMPLES, 3, 224, 224)
    model = torchvision.models.mobilenet_v3_small()
    with torch.no_grad():  # statistics and activations of about one, as after training
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        model.train()(x)
    return from_module(model, (x[:2],)), x


def detector() -> Network:
    """Return the detector, and drawn scenes."""
    random = np.random.default_rng(0)
    pixels = np.stack([draw_scene(random)[0] for _ in range(_NUM_SAMPLES)])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return from_module(TwoOutputs(), (x[:2],)), x


def recogniser() -> Network:
    """Return PP-OCR's recogniser, and rendered lines of text."""
    task = TASKS["recogniser"]
    with wheel(RAPIDOCR) as file:
        path = Path(file.extract(f"rapidocr_onnxruntime/models/{task.file}", CACHE / "rapidocr"))
    program = read_onnx(path, shapes=((None, 3, HEIGHT, WIDTH),))
    return program, task.images(lines(_NUM_SAMPLES, seed=3))


NETWORKS: Mapping[str, Callable[[], Network]] = {
    "classifier": classifier,
    "detector": detector,
    "recogniser": recogniser,
}


def main() -> None:
    """Measure all networks with the named targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    able = [each for each in TARGETS.values() if each.build and not missing_modules(each)]
    parser.add_argument("--targets", nargs="*", default=[each.name for each in able])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.networks:
        torch.manual_seed(0)
        program, x = NETWORKS[name]()
        pruned = prune(program) if name in _PRUNED else program
        rows: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as home:
            folder = Path(home)
            export_onnx(pruned, folder / "model.onnx")
            rows |= measure_opsets(pruned, folder, (x,))
            for target in options.targets:
                rows[target] = measure(TARGETS[target], pruned, folder, (x,), options.seconds)
                print(json.dumps({name: {target: rows[target]}}), flush=True)
        found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        here = machine()  # of each row: others may be from another environment, commit or machine
        measured = {key: {**row, "machine": here} for key, row in rows.items()}
        found[name] = found.get(name, {}) | measured
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def prune(program: Program) -> Program:
    """Return the program at about half of its MACs, by the norm of its filters."""
    analysis = analyse(program)
    cost = CostModel(program, analysis)
    scores = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    rule = SelectionOptions(Budget("macs", _MACS))
    plan = make_plan(program, analysis, select(analysis, scores, rule, cost).keeps, saliency=scores)
    return compact(program, analysis, plan)


def measure_opsets(program: Program, folder: Path, batch: Sequence[Tensor]) -> dict[str, Any]:
    """Return how ONNX files at older opsets compare with torch."""
    rows: dict[str, Any] = {}
    for opset in OPSETS:
        path = folder / f"model_opset{opset}.onnx"
        try:
            write_at_opset(program, opset, folder / "model.onnx", path)
            opened = Opened(TARGETS["onnx"], path, program)
            rows[f"opset {opset}"] = asdict(compare_outputs(opened, program, [tuple(batch)]))
        except ExportError as error:
            rows[f"opset {opset}"] = {"refusal": str(error)}
    return rows


def measure(
    target: Target, program: Program, folder: Path, batch: Sequence[Tensor], seconds: float
) -> dict[str, Any]:
    """Return how a target compares with torch, and its latency."""
    began = time.process_time()
    try:
        build_files(target, Source(program, folder / "model.onnx"), folder)
        built = time.process_time() - began
        opened = Opened(target, folder / target.files[0].name, program)
        agreement = compare_outputs(opened, program, [tuple(batch)])
    except ExportError as error:
        return {"precision": target.precision, "refusal": str(error)}
    like = Latency(1, 1, target.title, 0, 0, 0)
    latency, speedup = time_beside(folder / "model.onnx", opened, program.inputs, like, seconds)
    return {
        "precision": target.precision,
        **asdict(agreement),
        "file_bytes": sum((folder / file.name).stat().st_size for file in target.files),
        "onnx_bytes": (folder / "model.onnx").stat().st_size,
        "build_cpu_seconds": round(built, 1),
        "p50_ms": round(1e3 * latency.p50_seconds, 3),
        "speed_beside_onnxruntime": [
            round(each, 3) for each in (speedup.ratio, speedup.low, speedup.high)
        ],
    }


if __name__ == "__main__":
    main()
