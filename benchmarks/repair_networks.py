"""Repair of pretrained networks, without labels and without training: agreement, time and memory.

Usage: python -m benchmarks.repair_networks [efficientnet_lite0 rnet onet resnet50] [--macs 0.5]
[--criteria l1 reconstruction jacobian] [--round-to 4]. Each network is pruned to a share of its
MACs and repaired from 512 emoji, of which criteria see the first 256; agreement with the dense
network on 381 emoji that repair has not seen, as the service measures it. ResNet-50 has
no weights here: 128 random images of 224 pixels, for time and memory alone. Times are CPU seconds
of one thread, beside those of a dense forward pass on the same images, because the machine may be
busy; the memory is the process's peak, so give one name for a clean figure. Rows are appended to
benchmarks/results/repair_networks.jsonl.
"""

import argparse
import io
import json
import resource
import time
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

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
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.metrics import evaluate
from secateur.engine.metrics.reference import Reference
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.repair import repair_program
from secateur.engine.retrain import recalibrate
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from secateur.engine.samples import TensorSource
from secateur.engine.selection import Budget, SelectionOptions, select
from secateur.engine.surgery import certify_retrained, compact

RESULTS = Path(__file__).parent / "results" / "repair_networks.jsonl"
NAMES = ["rnet", "onet", "efficientnet_lite0", "resnet50"]
_LITE_SIZE, _RESNET_SIZE = 128, 224
_NUM_REPAIR, _NUM_SCORED, _NUM_RANDOM = 512, 256, 128
_BATCH = 32


def main() -> None:
    """Run the named networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--criteria", nargs="+", default=["l1", "reconstruction"])
    parser.add_argument("--round-to", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names:
        for criterion in options.criteria:
            found = measure(name, criterion, options.macs, options.round_to)
            about = {"name": name, "criterion": criterion, "round_to": options.round_to}
            row = {**about, **found, "machine": machine()}
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def measure(name: str, criterion: str, share: float, round_to: int) -> dict[str, Any]:
    """Prune and repair one network, and return one row."""
    model, images = _subject(name)
    program = from_exported(export(model.eval(), (images[:2],)))
    analysis = analyse(program)
    cost = CostModel(program, analysis)
    seen = tuple(CalibrationBatch((part,)) for part in images[:_NUM_SCORED].split(_BATCH))
    began = time.process_time()
    scores = CRITERIA[criterion](program, analysis, seen, SaliencyOptions())
    scored = time.process_time() - began
    limits = SelectionOptions(Budget("macs", share), round_to=round_to)
    keeps = select(analysis, scores, limits, cost).keeps
    plan = make_plan(program, analysis, keeps)
    used, unseen = images[:_NUM_REPAIR], images[_NUM_REPAIR:]
    batches = [(part,) for part in used.split(_BATCH)]
    forward = _cpu_seconds_of_forward(program, batches)
    began = time.process_time()
    repaired = repair_program(program, analysis, plan, batches)
    seconds = time.process_time() - began
    row: dict[str, Any] = {
        "macs": cost.macs(keeps) / cost.macs({}),
        "num_samples": repaired.num_samples,
        "criterion_cpu_seconds": round(scored, 1),
        "repair_cpu_seconds": round(seconds, 1),
        "forward_cpu_seconds": round(forward, 1),
        "forward_passes": round(seconds / forward, 1),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    proof = certify_retrained(program, analysis, plan, repaired.program, [(images[:2],)])
    row["float64_max_relative_error"] = proof.float64.max_relative_error
    if len(unseen):
        pruned = compact(program, analysis, plan)
        networks = {
            "pruned": pruned,
            "recalibrated": recalibrate(pruned, used.split(_BATCH)),
            "repaired": repaired.program,
        }
        row |= {kind: _agreement(network, program, unseen) for kind, network in networks.items()}
    return row


def _agreement(network: Program, dense: Program, images: Tensor) -> float | None:
    source = TensorSource(images, None)
    reference = Reference(dense)
    found = evaluate(network, source, torch.arange(len(images)), "none", reference)
    return found.values.get("agreement")


def _cpu_seconds_of_forward(program: Program, batches: list[tuple[Tensor]]) -> float:
    module = ProgramModule(program).eval()
    with torch.inference_mode():
        module.run(batches[0])
        began = time.process_time()
        for batch in batches:
            module.run(batch)
    return time.process_time() - began


def _subject(name: str) -> tuple[nn.Module, Tensor]:
    """Return a network and its images in random order."""
    if name == "resnet50":
        import torchvision  # noqa: PLC0415  # slow, and needed here alone

        images = torch.randn(_NUM_RANDOM, 3, _RESNET_SIZE, _RESNET_SIZE)
        return torchvision.models.resnet50(), images
    if name == "efficientnet_lite0":
        model = load_efficientnet_lite0(_LITE_SIZE)
        return model, _emoji(_LITE_SIZE, EFFICIENTNET_MEAN, EFFICIENTNET_STD)
    kind: Literal["rnet", "onet"] = "rnet" if name == "rnet" else "onet"
    return load_mtcnn(kind), _emoji(MTCNN_SIZES[kind], MTCNN_MEAN, MTCNN_STD)


def _emoji(size: int, mean: float, std: float) -> Tensor:
    found = []
    with zipfile.ZipFile(emoji_zip()) as file:
        names = sorted(file.namelist())
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0)).tolist()
        for number in order[: _NUM_REPAIR + 381]:
            image = Image.open(io.BytesIO(file.read(names[number]))).resize((size, size))
            pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
            found.append(torch.from_numpy((pixels - mean) / std).permute(2, 0, 1))
    return torch.stack(found).float()


if __name__ == "__main__":
    main()
