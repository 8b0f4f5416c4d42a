"""The last two stages: export the files that others read, measure them, and sign for them all."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.contracts.job import Stage
from app.contracts.report import LatencyReport, LatencyTrial, MetricsReport, NetworkReport, Report
from worker.engine.curves import draw_saliency_curves
from worker.engine.export.onnx import compare_onnx, export_onnx
from worker.engine.graph import Analysis, analyse
from worker.engine.measure import compare_latency, count_macs, count_parameters
from worker.engine.program.program import Program
from worker.engine.program.writer import write_program
from worker.engine.retrain import EpochRecord, iterate
from worker.engine.surgery import Audit, Certificate
from worker.pipeline.choose import DENSE_ONNX, Choice
from worker.pipeline.data import Dataset, Split
from worker.pipeline.describe import (
    epoch_report,
    equivalence_report,
    frozen_report,
    group_reports,
    latency_reports,
    verdict,
)
from worker.pipeline.reporter import Reporter
from worker.protocol import JobRequest, OutputFile, Succeeded

BATCH_SIZES = (1, 8)
_FASTER = 0.95  # a ratio above this is not worth calling faster
_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy", "safetensors")
_FILES = {
    "model.onnx": "application/octet-stream",
    "pruned.pt2": "application/zip",
    "weights.safetensors": "application/octet-stream",
    "plan.json": "application/json",
    "report.json": "application/json",
    "saliency_curves.svg": "image/svg+xml",
    "manifest.json": "application/json",
}
_OPTIONAL = {"pruned.pt2": "pt2", "weights.safetensors": "safetensors"}


@dataclass(frozen=True)
class Results:
    """What the stages before found."""

    program: Program
    analysis: Analysis
    choice: Choice
    pruned: Program
    retrained: Program
    certificate: Certificate
    audit: Audit
    history: tuple[EpochRecord, ...]
    dense_metrics: tuple[MetricsReport, ...]
    pruned_metrics: tuple[MetricsReport, ...]
    recalibrated_metrics: tuple[MetricsReport, ...]
    retrained_metrics: tuple[MetricsReport, ...]
    real_batches: Sequence[tuple[Tensor, ...]]
    dataset: Dataset | None


def export_and_package(request: JobRequest, reporter: Reporter, results: Results) -> Succeeded:
    """Write every file of the artifact and return the job's last message.

    Raises:
        ExportError: The ONNX file does not compute what the network computes.
    """
    reporter.begin(Stage.EXPORT)
    folder = request.output_dir
    served, dense = folder / "model.onnx", folder.parent / DENSE_ONNX
    if not dense.exists():  # a latency budget has needed it before
        export_onnx(results.program, dense)
    reporter.progress(1, 4, "exported the dense network", is_forced=True)
    export_onnx(results.retrained, served)
    batches = [*results.real_batches, results.retrained.example_inputs(3)]
    onnx_error = compare_onnx(results.retrained, served, batches)
    _write_optional(request, results, folder)
    reporter.progress(2, 4, "measuring latency", is_forced=True)
    latencies = compare_latency(
        (dense, served),
        results.program.inputs,
        BATCH_SIZES,
        num_threads=request.serving_num_threads,
    )
    reporter.progress(3, 4, "measured latency", is_forced=True)
    dense_latency, pruned_latency = (latency_reports(found) for found in latencies)
    served_metrics = _served_metrics(results.dataset, served)
    reporter.begin(Stage.PACKAGE)
    networks = {
        "dense": _network(results.program, dense, dense_latency, results.dense_metrics),
        "pruned": _network(results.pruned, served, pruned_latency, results.pruned_metrics),
        "retrained": _network(
            results.retrained, served, pruned_latency, results.retrained_metrics + served_metrics
        ),
    }
    report = Report(
        config=request.config.model_dump(mode="json"),
        **networks,
        recalibrated_metrics=results.recalibrated_metrics,
        equivalence=equivalence_report(results.certificate, results.audit),
        onnx_max_absolute_error=onnx_error,
        groups=group_reports(results.analysis, results.choice.plan),
        frozen=tuple(frozen_report(frozen) for frozen in results.analysis.frozen),
        criteria_agreement=results.choice.agreement,
        latency_trials=tuple(
            LatencyTrial(asked=asked, measured=measured)
            for asked, measured in results.choice.latency_trials
        ),
        history=tuple(epoch_report(record) for record in results.history),
        notes=(*reporter.warnings, *_notes(dense_latency, pruned_latency)),
        stage_seconds=dict(reporter.stage_seconds),
        device=request.device,
        versions=_versions(),
    )
    (folder / "plan.json").write_text(results.choice.plan.to_json())
    (folder / "report.json").write_text(report.model_dump_json(indent=1) + "\n")
    curves = [(g.name, g.saliency, g.num_groups - g.num_kept) for g in report.groups]
    draw_saliency_curves(curves, folder / "saliency_curves.svg")
    (folder / "manifest.json").write_text(_manifest(request, folder, onnx_error))
    files = [name for name in _FILES if (folder / name).exists()]
    return Succeeded(
        result={"summary": _summary(report)},
        report=verdict(results.retrained, analyse(results.retrained)),
        files=tuple(OutputFile(name=name, media_type=_FILES[name]) for name in files),
        onnx="model.onnx",
        program="pruned.pt2" if "pruned.pt2" in files else None,
    )


def _write_optional(request: JobRequest, results: Results, folder: Path) -> None:
    formats = request.config.export.formats
    if "pt2" in formats:
        write_program(results.retrained, folder / "pruned.pt2")
    if "safetensors" in formats:
        tensors = {name: t.contiguous() for name, t in results.retrained.tensors.items()}
        save_file(tensors, folder / "weights.safetensors")


def _network(
    program: Program,
    onnx_path: Path,
    latency: tuple[LatencyReport, ...],
    metrics: tuple[MetricsReport, ...],
) -> NetworkReport:
    return NetworkReport(
        num_parameters=count_parameters(program),
        macs=count_macs(program),
        file_bytes=onnx_path.stat().st_size,
        latency_seconds=latency,
        metrics=metrics,
    )


def _served_metrics(dataset: Dataset | None, path: Path) -> tuple[MetricsReport, ...]:
    """Measure the file that /infer serves, with the runtime that serves it."""
    if dataset is None:
        return ()
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    reports: list[MetricsReport] = []
    for split in (Split.VALIDATION, Split.TEST):
        indices = dataset.indices(split)
        if len(indices) == 0:
            continue
        hits = 0
        for x, y in iterate(dataset, indices, 256):
            assert y is not None  # noqa: S101  # an uploaded data set has labels
            logits = session.run(None, {name: x.numpy()})[0]
            hits += int((np.argmax(logits, axis=1) == y.numpy()).sum())
        reports.append(
            MetricsReport(
                split="test" if split is Split.TEST else "validation",
                top1=hits / len(indices),
                loss=None,
                num_samples=len(indices),
                runtime="onnxruntime",
            )
        )
    return tuple(reports)


def _notes(dense: tuple[LatencyReport, ...], pruned: tuple[LatencyReport, ...]) -> tuple[str, ...]:
    slow = [
        f"batch {a.batch_size}: {b.p50 / a.p50:.2f} of the dense latency"
        for a, b in zip(dense, pruned, strict=True)
        if b.p50 > _FASTER * a.p50
    ]
    if not slow:
        return ()
    advice = "pruning did not make it faster on this device; try round_to 16 or a smaller budget"
    return (f"{advice} ({', '.join(slow)})",)


def _summary(report: Report) -> dict[str, Any]:
    wanted = {"num_parameters", "macs", "file_bytes", "latency_seconds", "metrics"}
    networks = {
        name: getattr(report, name).model_dump(mode="json", include=wanted)
        for name in ("dense", "pruned", "retrained")
    }
    return {
        **networks,
        "recalibrated_metrics": [m.model_dump(mode="json") for m in report.recalibrated_metrics],
        "equivalence": report.equivalence.model_dump(mode="json"),
        "onnx_max_absolute_error": report.onnx_max_absolute_error,
        "notes": list(report.notes),
    }


def _manifest(request: JobRequest, folder: Path, onnx_error: float) -> str:
    """Sign for every file; says nothing about when, so the same job gives the same bytes."""
    files = {
        name: {
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "num_bytes": (folder / name).stat().st_size,
            "media_type": media_type,
        }
        for name, media_type in _FILES.items()
        if (folder / name).exists() and name != "manifest.json"
    }
    body = {
        "version": 1,
        "files": files,
        "config": request.config.model_dump(mode="json"),
        "seed": request.config.seed,
        "onnx_max_absolute_error": onnx_error,
        "lineage": {
            "model": request.model_id,
            "model_sha256": request.model_sha256,
            "dataset": request.dataset_id,
            "dataset_sha256": request.dataset_sha256,
        },
        "versions": _versions(),
    }
    return json.dumps(body, sort_keys=True, indent=1) + "\n"


def _versions() -> dict[str, str]:
    found = {name: version(name) for name in _PACKAGES}
    return {"secateur": version("secateur"), **found, "torch_build": torch.__version__}
