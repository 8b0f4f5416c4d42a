"""Package: write the plan, the report and the manifest, and return the job's result."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.contracts.report import Int8Report, MetricsReport, NetworkReport
from secateur.engine.export.formats import EXPORT_FORMATS
from secateur.engine.export.onnx import ONNX
from secateur.engine.export.pt2 import PT2
from secateur.engine.graph import analyse
from secateur.engine.latency import bench_of
from secateur.engine.measure import count_macs, count_parameters
from secateur.engine.program.program import Program
from worker.messages import JobRequest, OutputFile, Succeeded
from worker.pipeline.job.results import INT8_ONNX, OnnxFile, Results
from worker.pipeline.report.describe import verdict
from worker.pipeline.report.page import render_page
from worker.pipeline.report.report import make_report, summary, versions
from worker.pipeline.report.saliency_curves import CURVES, draw_saliency_curves
from worker.pipeline.report.subject import layer_reports
from worker.pipeline.targets import output_names

_SCRIPT = "text/plain; charset=utf-8"
_FILES = {
    **{each.file: each.media_type for each in EXPORT_FORMATS.values()},
    INT8_ONNX: "application/octet-stream",
    "plan.json": "application/json",
    "report.json": "application/json",
    "report.html": "text/html; charset=utf-8",
    CURVES: "image/svg+xml",
    "manifest.json": "application/json",
}


def package(results: Results) -> Succeeded:
    """Write the plan, report, curves and manifest, and return the job's final message."""
    inputs, exported = results.inputs, results.exported
    request, folder = inputs.request, inputs.request.output_dir
    analysis = analyse(exported.program)
    layers = layer_reports((inputs.program, inputs.analysis), (exported.program, analysis))
    report = make_report(results, _networks(results), layers)
    (folder / "plan.json").write_text(results.trained.plan.to_json())
    (folder / "report.json").write_text(report.model_dump_json(indent=1) + "\n")
    (folder / "report.html").write_text(render_page(report), encoding="utf-8")
    curves = draw_saliency_curves(report.groups)
    (folder / CURVES).write_text(curves, encoding="utf-8")
    media_types = {name: _media_type(name) for name in output_names(exported.targets)} | _FILES
    manifest = _manifest(request, folder, media_types, exported.onnx_error)
    (folder / "manifest.json").write_text(manifest)
    files = [name for name in media_types if (folder / name).exists()]
    labels = inputs.dataset.labels_kind if inputs.dataset else None
    int8 = {} if report.int8 is None else {"int8": _int8_verdict(report.int8)}
    task = {"task": inputs.chosen.stored.model_dump(mode="json")} if inputs.dataset else {}
    return Succeeded(
        result={"summary": summary(report)},
        report=verdict(exported.program, analysis, labels)
        | {"bench": bench_of(exported.program, analysis)}
        | task
        | int8,
        files=tuple(OutputFile(name=name, media_type=media_types[name]) for name in files),
        onnx=ONNX.file if ONNX.file in files else None,
        program=PT2.file if PT2.file in files else None,
        int8=INT8_ONNX if results.int8 is not None and results.int8.is_served else None,
    )


def _networks(results: Results) -> dict[str, NetworkReport]:
    """Return reports of the networks; all but the dense one share a file."""
    exported, untrained = results.exported, results.untrained
    metrics = results.verified.metrics + exported.metrics
    repaired = results.repaired
    found = {
        "dense": _network(results.inputs.program, exported.dense, results.dense_metrics),
        "pruned": _network(untrained.program, exported.served, untrained.metrics),
        "retrained": _network(exported.program, exported.served, metrics),
    }
    if repaired is not None:
        found["repaired"] = _network(repaired.program, exported.served, repaired.metrics)
    return found


def _int8_verdict(int8: Int8Report) -> dict[str, Any]:
    """Return what the model's row says of its int8 file, for requests that ask for one."""
    reason = int8.reason
    if int8.is_kept and not int8.is_served:
        reason = f"Its int8 file is for {int8.target}, not for the processor that serves."
    return {"is_served": int8.is_served, "reason": reason}


def _network(program: Program, onnx: OnnxFile, metrics: tuple[MetricsReport, ...]) -> NetworkReport:
    return NetworkReport(
        num_parameters=count_parameters(program),
        macs=count_macs(program),
        file_bytes=onnx.num_bytes,
        latency_seconds=onnx.latencies,
        metrics=metrics,
    )


def _media_type(name: str) -> str:
    return _SCRIPT if name.endswith((".py", ".sh")) else "application/octet-stream"


def _manifest(
    request: JobRequest,
    folder: Path,
    media_types: Mapping[str, str],
    onnx_error: float | None,
) -> str:
    """Return the manifest: every file with its hash. Without times, equal jobs give equal bytes."""
    files = {
        name: {
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "num_bytes": (folder / name).stat().st_size,
            "media_type": media_type,
        }
        for name, media_type in media_types.items()
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
