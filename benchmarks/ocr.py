"""PP-OCR's ONNX networks from RapidOCR: pruned, repaired and retrained without labels.

Usage: python -m benchmarks.ocr [classifier recogniser] [--macs 0.5] [--steps 192] [--threads 1]
The orientation classifier and the recogniser read rendered lines of text (`rendered_text`): 512
unlabelled lines for repair and training, 64 for choosing the epoch, and 512 others, whose strings
are known, for the result: the share of right orientations, and of strings that are read exactly
(greedy CTC with the characters in the file). Training starts from the repaired network, with and
without the BatchNorm that the exporter folded (`secateur.engine.retrain.unfolding`), both with the
same steps. The networks come from a pinned wheel, unpacked below .secateur-cache. Writes
benchmarks/results/ocr.json and the table in docs/benchmarks.md after each network.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import machine
from benchmarks.rendered_text import HEIGHT, WIDTH, Lines, lines, upside_down
from examples.packages import CACHE, Package, wheel
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.objectives import ObjectiveOptions
from secateur.engine.onnx_in.reader import read_onnx
from secateur.engine.plan import make_plan
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.repair import repair_program
from secateur.engine.retrain import OptimizerOptions, RetrainOptions, TrainingData, retrain_program
from secateur.engine.retrain.unfolding import unfold
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.samples import TensorSource
from secateur.engine.selection import Budget, SelectionOptions, select
from secateur.engine.surgery import compact

RESULTS = Path(__file__).parent / "results" / "ocr.json"
DOCUMENT = Path("docs/benchmarks.md")
RAPIDOCR = Package(
    "rapidocr-onnxruntime",
    "1.4.4",
    "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
)
_NUM_TRAIN, _NUM_VALIDATION, _NUM_TEST = 512, 64, 512
_BATCH = 16
_STAGES = ("dense", "pruned", "repaired", "retrained", "retrained with BatchNorm")
_BEGIN, _END = "<!-- ocr: begin -->", "<!-- ocr: end -->"


@dataclass(frozen=True)
class Task:
    """A network, its images and its score.

    Attributes:
        file: Its file in the wheel.
        metric: What the score is.
        images: Returns the images of lines.
        score: Returns the share of outputs that are right for lines.
    """

    file: str
    metric: str
    images: Callable[[Lines], Tensor]
    score: Callable[[Program, Tensor, Lines], float]


def main() -> None:
    """Measure the named networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(TASKS))
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=192)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in options.names:
        rows[name] = measure(TASKS[name], options.macs, options.steps)
        print(json.dumps({name: rows[name]}), flush=True)
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
        _write_table(rows)


def measure(task: Task, macs: float, steps: int) -> dict[str, Any]:
    """Return the score of each stage of one network."""
    started = time.process_time()
    with wheel(RAPIDOCR) as file:
        path = Path(file.extract(f"rapidocr_onnxruntime/models/{task.file}", CACHE / "rapidocr"))
    program = read_onnx(path, shapes=((None, 3, HEIGHT, WIDTH),))
    train, held = lines(_NUM_TRAIN + _NUM_VALIDATION, seed=1), lines(_NUM_TEST, seed=2)
    x, x_test = task.images(train), task.images(held)
    analysis = analyse(program)
    cost = CostModel(program, analysis)
    scores = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    rule = SelectionOptions(Budget("macs", macs))
    plan = make_plan(program, analysis, select(analysis, scores, rule, cost).keeps, saliency=scores)
    batches = x[:_NUM_TRAIN].split(64)
    repaired = repair_program(program, analysis, plan, [(batch,) for batch in batches]).program
    unfolded = unfold(repaired, batches)
    networks = {
        "dense": lambda: program,
        "pruned": lambda: compact(program, analysis, plan),
        "repaired": lambda: repaired,
        "retrained": lambda: _trained(repaired, x, program, steps),
    }
    if unfolded is not None:
        networks["retrained with BatchNorm"] = lambda: unfolded.fold(
            _trained(unfolded.program, x, program, steps)
        )
    found = {}
    for stage, make in networks.items():
        found[stage] = task.score(make(), x_test, held)
        print(stage, found[stage], flush=True)
    return {
        "file": task.file,
        "metric": task.metric,
        "macs_left": round(cost.macs(plan.keeps()) / cost.macs({}), 4),
        "scores": found,
        "num_test": _NUM_TEST,
        "steps": steps,
        "cpu_seconds": round(time.process_time() - started),
        "machine": machine(),
    }


def _trained(program: Program, x: Tensor, teacher: Program, steps: int) -> Program:
    indices = torch.arange(len(x))
    split = TrainingData(TensorSource(x), indices[:_NUM_TRAIN], indices[_NUM_TRAIN:], "none")
    options = RetrainOptions(
        epochs=max(1, steps * _BATCH // _NUM_TRAIN),
        batch_size=_BATCH,
        objective=ObjectiveOptions(kind="distill"),
        optimizer=OptimizerOptions(kind="adamw", learning_rate=5e-4, weight_decay=0.01),
        precision="float32",
    )
    return retrain_program(program, split, options, teacher=teacher).program


@torch.no_grad()
def _outputs(program: Program, x: Tensor) -> Tensor:
    module = ProgramModule(program, copy=False).eval()
    return torch.cat([module(batch) for batch in x.split(64)])


def _half_upside_down(found: Lines) -> Tensor:
    x = found.x.clone()
    x[1::2] = upside_down(x[1::2])
    return x


def _orientation(program: Program, x: Tensor, found: Lines) -> float:
    wanted = torch.arange(len(found.texts)) % 2
    return float((_outputs(program, x).argmax(1) == wanted).double().mean())


def _reading(program: Program, x: Tensor, found: Lines) -> float:
    assert program.origin is not None  # noqa: S101  # it was read from an ONNX file
    characters = dict(program.origin.metadata)["character"].splitlines()
    alphabet = ["", *characters, " "]  # the blank comes first
    read = [
        "".join(
            alphabet[now]
            for before, now in zip([0, *row], row, strict=False)
            if now and now != before
        )
        for row in _outputs(program, x).argmax(2).tolist()
    ]
    return sum(a == b for a, b in zip(read, found.texts, strict=True)) / len(read)


def _write_table(rows: dict[str, dict[str, Any]]) -> None:
    """Replace the table in the document."""
    head, _, rest = DOCUMENT.read_text().partition(_BEGIN)
    if not rest:
        return
    table = [("network, score", "MACs", *_STAGES), ("---",) * (len(_STAGES) + 2)]
    for name, row in rows.items():
        values = [row["scores"].get(stage) for stage in _STAGES]
        said = ["" if value is None else f"{100 * value:.1f}" for value in values]
        table.append((f"{name}, {row['metric']}", f"{100 * row['macs_left']:.0f} %", *said))
    body = "\n".join(f"  | {' | '.join(cells)} |" for cells in table)
    DOCUMENT.write_text(f"{head}{_BEGIN}\n\n{body}\n\n  {_END}{rest.partition(_END)[2]}")


TASKS = {
    "classifier": Task(
        "ch_ppocr_mobile_v2.0_cls_infer.onnx", "orientation, %", _half_upside_down, _orientation
    ),
    "recogniser": Task(
        "ch_PP-OCRv4_rec_infer.onnx", "strings read exactly, %", lambda found: found.x, _reading
    ),
}


if __name__ == "__main__":
    main()
