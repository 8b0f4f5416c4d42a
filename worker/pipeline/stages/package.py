"""The last two stages: export the files, measure them, and list them in a manifest."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from app.contracts.job import Stage
from app.contracts.report import LatencyReport, MetricsReport, NetworkReport
from secateur.engine.curves import draw_saliency_curves
from secateur.engine.export.onnx import compare_onnx, export_onnx
from secateur.engine.export.session import OnnxSession
from secateur.engine.export.weights import write_weights
from secateur.engine.graph import analyse
from secateur.engine.measure import compare_latency, count_macs, count_parameters
from secateur.engine.metrics import Judge
from secateur.engine.objectives.outputs import float_outputs
from secateur.engine.program.precision import as_stored
from secateur.engine.program.program import Program
from secateur.engine.program.writer import write_program
from worker.messages import JobRequest, OutputFile, Succeeded
from worker.pipeline.data import Split
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.report.describe import (
    latency_reports,
    load_report,
    metrics_report,
    speedup_reports,
    verdict,
)
from worker.pipeline.report.doubts import Times
from worker.pipeline.report.page import render_page
from worker.pipeline.report.report import Results, make_report, summary, versions
from worker.pipeline.report.subject import layer_reports
from worker.pipeline.stages.dense_onnx import DENSE_ONNX

BATCH_SIZES = (1, 8)
_EVALUATION_BATCH = 256
_SERVED = "model.onnx"
_FILES = {
    "model.onnx": "application/octet-stream",
    "pruned.pt2": "application/zip",
    "weights.safetensors": "application/octet-stream",
    "plan.json": "application/json",
    "report.json": "application/json",
    "report.html": "text/html; charset=utf-8",
    "saliency_curves.svg": "image/svg+xml",
    "manifest.json": "application/json",
}

_Measured = tuple[int, tuple[LatencyReport, ...]]  # bytes of a file, and how fast it is


@dataclass(frozen=True)
class _Onnx:
    """What the ONNX files of the dense and the pruned network are like; as it is: without any."""

    files: tuple[_Measured, _Measured] = ((0, ()), (0, ()))
    error: float | None = None
    times: Times | None = None
    served_metrics: tuple[MetricsReport, ...] = ()


def export_and_package(results: Results) -> Succeeded:
    """Write every file of the artifact and return the job's last message.

    Raises:
        ExportError: The ONNX file does not compute what the network computes.
    """
    inputs, retrained = results.inputs, as_stored(results.trained.program)
    request, reporter = inputs.request, inputs.reporter
    reporter.begin(Stage.EXPORT)
    folder = request.output_dir
    _write_optional(request, retrained, folder)
    onnx = _export_onnx(inputs, retrained) if "onnx" in request.config.export.formats else _Onnx()
    reporter.begin(Stage.PACKAGE)
    dense_onnx, pruned_onnx = onnx.files
    networks = {
        "dense": _network(inputs.program, dense_onnx, results.dense_metrics),
        "pruned": _network(results.pruned, pruned_onnx, results.pruned_metrics),
        "retrained": _network(
            retrained, pruned_onnx, results.retrained_metrics + onnx.served_metrics
        ),
    }
    analysis = analyse(retrained)
    layers = layer_reports((inputs.program, inputs.analysis), (retrained, analysis))
    report = make_report(results, networks, layers, onnx.error, onnx.times)
    (folder / "plan.json").write_text(results.trained.plan.to_json())
    (folder / "report.json").write_text(report.model_dump_json(indent=1) + "\n")
    (folder / "report.html").write_text(render_page(report), encoding="utf-8")
    curves = [(g.name, g.saliency, g.num_groups - g.num_kept) for g in report.groups]
    draw_saliency_curves(curves, folder / "saliency_curves.svg")
    (folder / "manifest.json").write_text(_manifest(request, folder, onnx.error))
    files = [name for name in _FILES if (folder / name).exists()]
    return Succeeded(
        result={"summary": summary(report)},
        report=verdict(retrained, analysis, inputs.dataset.labels_kind if inputs.dataset else None),
        files=tuple(OutputFile(name=name, media_type=_FILES[name]) for name in files),
        onnx=_SERVED if _SERVED in files else None,
        program="pruned.pt2" if "pruned.pt2" in files else None,
    )


def _write_optional(request: JobRequest, program: Program, folder: Path) -> None:
    formats = request.config.export.formats
    if "pt2" in formats:
        write_program(program, folder / "pruned.pt2")
    if "safetensors" in formats:
        write_weights(program, folder / "weights.safetensors")


def _export_onnx(inputs: Inputs, retrained: Program) -> _Onnx:
    """Write the file that is served, prove it, and measure it beside the dense one."""
    request, reporter = inputs.request, inputs.reporter
    served, dense = request.output_dir / _SERVED, request.output_dir.parent / DENSE_ONNX
    export_onnx(retrained, served)
    batches = [*inputs.real_batches(), retrained.example_inputs(3)]
    error = compare_onnx(retrained, served, batches)
    reporter.progress(1, 3, "measuring latency", is_forced=True)
    timed = compare_latency(
        (dense, served),
        inputs.program.inputs,
        BATCH_SIZES,
        num_threads=request.serving_num_threads,
    )
    reporter.progress(2, 3, "measured latency", is_forced=True)
    before, after = (
        (path.stat().st_size, latency_reports(found))
        for path, found in zip((dense, served), timed.latencies, strict=True)
    )
    times = Times(speedup_reports(timed.speedups[0], timed.latencies[1]), load_report(timed.load))
    return _Onnx((before, after), error, times, _served_metrics(inputs, retrained, served))


def _network(
    program: Program, onnx: _Measured, metrics: tuple[MetricsReport, ...]
) -> NetworkReport:
    file_bytes, latency = onnx
    return NetworkReport(
        num_parameters=count_parameters(program),
        macs=count_macs(program),
        file_bytes=file_bytes,
        latency_seconds=latency,
        metrics=metrics,
    )


def _served_metrics(inputs: Inputs, program: Program, path: Path) -> tuple[MetricsReport, ...]:
    """Measure the file that /infer serves, with the runtime that serves it."""
    if inputs.dataset is None:
        return ()
    session = OnnxSession(path)
    reports: list[MetricsReport] = []
    for split in (Split.VALIDATION, Split.TEST):
        indices = inputs.dataset.indices(split)
        if len(indices) == 0:
            continue
        judge = Judge(program, inputs.dataset.labels_kind, inputs.reference)
        for part in indices.split(_EVALUATION_BATCH):
            x, y = inputs.dataset.batch(part)
            judge.add(float_outputs(list(session([x]))), x, y, part)
        reports.append(metrics_report(judge.metrics(), split, "onnxruntime"))
    return tuple(reports)


def _manifest(request: JobRequest, folder: Path, onnx_error: float | None) -> str:
    """List all files with their SHA-256, but no times: the same job gives the same bytes."""
    files = {
        name: {
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "num_bytes": (folder / name).stat().st_size,
            "media_type": media_type,
        }
        for name, media_type in _FILES.items()
        if (folder / name).exists() and name != "manifest.json"
    }
    model, data = request.require_model(), request.dataset
    body = {
        "version": 1,
        "files": files,
        "config": request.config.model_dump(mode="json"),
        "seed": request.config.seed,
        "onnx_max_absolute_error": onnx_error,
        "lineage": {
            "model": model.id,
            "model_sha256": model.sha256,
            "dataset": None if data is None else data.id,
            "dataset_sha256": None if data is None else data.sha256,
        },
        "versions": versions(),
    }
    return json.dumps(body, sort_keys=True, indent=1) + "\n"
