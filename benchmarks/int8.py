"""Int8 after pruning: dense, pruned and int8 files in turns, and what the usual tools give.

Usage: python -m benchmarks.int8 [resnet20 ocr_classifier efficientnet_lite0 mobilenet_v2 resnet50
vgg16_bn] [--macs 0.5] [--widths int8] [--epochs 3] [--quick] [--output FILE]. Each network is
pruned by ``l1`` to a share of its MACs and repaired; ResNet-20 is also retrained, on Fashion-MNIST.
``--widths`` int8: only widths that are fast in int8 here, as with ``round_to: auto`` and
``selection.precision: int8``; a number: multiples of it, as with that ``round_to``. Then
`secateur.engine.quantize` searches for an int8 file. Beside it: `quantize_static` and
`quantize_dynamic` of ONNX Runtime with their defaults, on the same samples. All files are timed in
turns, one thread, at batch 1 and 8; speeds are relative to the dense file, with 95 % intervals. The
last three networks have random weights, so only their speed means something. ``--quick`` trains and
times less and writes no table. Writes JSON and the table in docs/benchmarks.md.
"""

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from torch import Tensor

from benchmarks.int8_networks import SUBJECTS, Subject, batches
from benchmarks.machine import machine
from secateur.engine.errors import ExportError
from secateur.engine.export.onnx import export_onnx
from secateur.engine.export.session import OnnxSession
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.latency import LatencyModel, LayerTimer
from secateur.engine.measure import compare_latency
from secateur.engine.objectives import ObjectiveOptions
from secateur.engine.plan import make_plan
from secateur.engine.program.program import Program
from secateur.engine.quantize import QuantizeOptions, agreement_judge, quantize, this_cpu
from secateur.engine.repair import repair_program
from secateur.engine.retrain import AugmentOptions, RetrainOptions, TrainingData, retrain_program
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.samples import TensorSource
from secateur.engine.selection import Budget, SelectionOptions, select

RESULTS = Path(__file__).parent / "results" / "int8.json"
DOCUMENT = Path("docs/benchmarks.md")
BATCH_SIZES = (1, 8)
_BEGIN, _END = "<!-- int8: begin -->", "<!-- int8: end -->"
_NUM_REPAIR, _NUM_CALIBRATION = 512, 256
_FILES = ("dense", "pruned", "int8", "static", "dynamic")
_TITLES = ("dense fp32", "pruned fp32", "int8, ours", "quantize_static", "quantize_dynamic")


def main() -> None:
    """Measure the named networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SUBJECTS))
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--widths", type=_widths, default="int8", help="int8, or a number")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {} if options.quick or not RESULTS.is_file() else json.loads(RESULTS.read_text())
    for name in options.names:
        numbers = (256, 256) if options.quick else (55_000, 10_000)
        epochs = 1 if options.quick else options.epochs
        subject = SUBJECTS[name](*numbers)
        seconds = 0.3 if options.quick else 5.0
        found = measure(subject, options.macs, options.widths, epochs, seconds)
        rows[name] = {"widths": options.widths, **found}
        print(json.dumps({name: rows[name]}), flush=True)
        if not options.quick:
            options.output.write_text(json.dumps(rows, indent=1) + "\n")
            _write_table(rows)


def _widths(text: str) -> int | Literal["int8"]:
    return "int8" if text == "int8" else int(text)


def measure(
    subject: Subject, macs: float, widths: int | Literal["int8"], epochs: int, seconds: float
) -> dict[str, Any]:
    """Prune a network, quantise it in three ways, and return sizes, speeds and qualities."""
    started = time.process_time()
    pruned, macs_left = _pruned(subject, macs, widths, epochs)
    calibration = batches(subject.train[:_NUM_CALIBRATION])
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.onnx" for name in _FILES}
        export_onnx(subject.program, paths["dense"])
        export_onnx(pruned, paths["pruned"])
        fp32 = OnnxSession(paths["pruned"])
        judge = subject.judge or agreement_judge(fp32, batches(subject.held))
        options = QuantizeOptions(max_drop=subject.max_drop, seconds=seconds)
        found = quantize(paths["pruned"], paths["int8"], calibration, judge=judge, options=options)
        troubles = _naively(paths, calibration)
        there = {name: path for name, path in paths.items() if path.exists()}
        timed = compare_latency(
            list(there.values()), subject.program.inputs, BATCH_SIZES, seconds=seconds
        )
        test = subject.test or agreement_judge(fp32, batches(subject.held))
        rows: dict[str, Any] = {}
        for index, (name, path) in enumerate(there.items()):
            quality = test(OnnxSession(path))
            rows[name] = {
                "num_bytes": path.stat().st_size,
                "metric": quality.metric,
                "value": round(quality.value, 4),
                "num_samples": quality.num_samples,
                "milliseconds": [
                    round(1e3 * each.p50_seconds, 4) for each in timed.latencies[index]
                ],
                "speed": [
                    [round(each.ratio, 3), round(each.low, 3), round(each.high, 3)]
                    for each in (timed.speedups[index - 1] if index else [])
                ],
            }
    return {
        "macs_left": round(macs_left, 4),
        "has_weights": subject.has_weights,
        "files": rows,
        "troubles": troubles,
        "is_kept": found.is_kept,
        "reason": found.reason,
        "trials": [asdict(trial) for trial in found.trials],
        "float_layers": [asdict(layer) for layer in found.float_layers],
        "target": this_cpu(),
        "load": asdict(timed.load),
        "cpu_seconds": round(time.process_time() - started),
        "machine": machine(),
    }


def _pruned(
    subject: Subject, macs: float, widths: int | Literal["int8"], epochs: int
) -> tuple[Program, float]:
    """Return the pruned, repaired and perhaps retrained network, and its share of the MACs."""
    program = subject.program
    analysis = analyse(program)
    cost = CostModel(program, analysis)
    scores = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    rule = SelectionOptions(Budget("macs", macs), round_to="auto" if widths == "int8" else widths)
    latency = LatencyModel(program, analysis, LayerTimer(precision="int8"), None)
    keeps = select(analysis, scores, rule, cost, latency).keeps
    plan = make_plan(program, analysis, keeps, saliency=scores)
    repair = batches(subject.train[:_NUM_REPAIR])
    found = repair_program(program, analysis, plan, repair).program
    if subject.labels is not None:
        found = _trained(found, subject, epochs)
    return found, cost.macs(plan.keeps()) / cost.macs({})


def _trained(program: Program, subject: Subject, epochs: int) -> Program:
    indices = torch.arange(len(subject.train))
    source = TensorSource(subject.train, subject.labels)
    data = TrainingData(source, indices, indices[:0], "classes")
    options = RetrainOptions(
        epochs=epochs,
        objective=ObjectiveOptions("mixed"),
        augment=AugmentOptions(crop=2, flip=True),
        precision="float32",
    )
    return retrain_program(program, data, options, teacher=subject.program).program


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # an untyped library
    def __init__(self, name: str, samples: Sequence[tuple[Tensor]]) -> None:
        self._feeds = iter([{name: x.numpy()} for (x,) in samples])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def _naively(paths: dict[str, Path], samples: Sequence[tuple[Tensor]]) -> dict[str, str]:
    """Write the files of the two tools with their defaults; return why one cannot be used."""
    session = OnnxSession(paths["pruned"])
    name = next(iter(session.feeds(samples[0])))
    troubles = {}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        quantize_static(paths["pruned"], paths["static"], _Reader(name, samples))
        quantize_dynamic(paths["pruned"], paths["dynamic"])
    for kind in ("static", "dynamic"):
        try:
            OnnxSession(paths[kind])(samples[0])
        except ExportError as error:
            troubles[kind] = str(error)
            paths[kind].unlink()
    return troubles


def _write_table(rows: dict[str, dict[str, Any]]) -> None:
    """Replace the table in the document."""
    head, _, rest = DOCUMENT.read_text().partition(_BEGIN)
    if not rest:
        return
    lines: list[tuple[str, ...]] = [
        ("network", "file", "size", "quality", "speed, batch 1", "speed, batch 8"),
        ("---",) * 6,
    ]
    for name, row in rows.items():
        for file, title in zip(_FILES, _TITLES, strict=True):
            lines.append(_cells(name, title, row["files"].get(file), row, file))
    body = "\n".join(f"  | {' | '.join(cells)} |" for cells in lines)
    DOCUMENT.write_text(f"{head}{_BEGIN}\n\n{body}\n\n  {_END}{rest.partition(_END)[2]}")


def _cells(
    name: str, title: str, found: dict[str, Any] | None, row: dict[str, Any], file: str
) -> tuple[str, ...]:
    if found is None:
        why = row["reason"] if file == "int8" else row["troubles"].get(file, "")
        return name, title, "", why, "", ""
    quality = f"{found['metric']} {found['value']:.4f}" if row["has_weights"] else "random weights"
    speeds = [f"{ratio:.2f}x ({low:.2f} to {high:.2f})" for ratio, low, high in found["speed"]]
    return name, title, f"{found['num_bytes'] / 1e6:.2f} MB", quality, *(speeds or ("1", "1"))


if __name__ == "__main__":
    main()
