"""The last two stages: export the files that others read, measure them, and sign for them all."""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch
from safetensors.torch import save_file

from app.contracts.job import Stage
from app.contracts.report import (
    BaselineReport,
    LatencyReport,
    LatencyTrial,
    MetricsReport,
    NetworkReport,
    Report,
)
from worker.engine.curves import draw_saliency_curves
from worker.engine.export.onnx import compare_onnx, export_onnx
from worker.engine.graph import analyse
from worker.engine.measure import compare_latency, count_macs, count_parameters
from worker.engine.program.program import Program
from worker.engine.program.writer import write_program
from worker.engine.retrain import LOWER_IS_BETTER
from worker.engine.retrain.evaluate import Judge
from worker.engine.retrain.outputs import float_outputs
from worker.engine.surgery import Audit, Certificate
from worker.pipeline.baselines import Baseline
from worker.pipeline.choose import DENSE_ONNX, Choice
from worker.pipeline.data import Split
from worker.pipeline.describe import (
    epoch_report,
    equivalence_report,
    frozen_report,
    group_reports,
    latency_reports,
    metrics_report,
    range_test_report,
    verdict,
)
from worker.pipeline.inputs import Inputs
from worker.pipeline.training import Trained
from worker.protocol import JobRequest, OutputFile, Succeeded

BATCH_SIZES = (1, 8)
_EVALUATION_BATCH = 256
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

    inputs: Inputs
    choice: Choice
    trained: Trained
    baselines: tuple[Baseline, ...]
    pruned: Program
    certificate: Certificate
    audit: Audit
    dense_metrics: tuple[MetricsReport, ...]
    pruned_metrics: tuple[MetricsReport, ...]
    recalibrated_metrics: tuple[MetricsReport, ...]
    retrained_metrics: tuple[MetricsReport, ...]


def export_and_package(results: Results) -> Succeeded:
    """Write every file of the artifact and return the job's last message.

    Raises:
        ExportError: The ONNX file does not compute what the network computes.
    """
    inputs, retrained = results.inputs, results.trained.program
    request, reporter = inputs.request, inputs.reporter
    reporter.begin(Stage.EXPORT)
    folder = request.output_dir
    served, dense = folder / "model.onnx", folder.parent / DENSE_ONNX
    if not dense.exists():  # a latency budget has needed it before
        export_onnx(inputs.program, dense)
    reporter.progress(1, 4, "exported the dense network", is_forced=True)
    export_onnx(retrained, served)
    batches = [*inputs.real_batches(), retrained.example_inputs(3)]
    onnx_error = compare_onnx(retrained, served, batches)
    _write_optional(request, retrained, folder)
    reporter.progress(2, 4, "measuring latency", is_forced=True)
    latencies = compare_latency(
        (dense, served),
        inputs.program.inputs,
        BATCH_SIZES,
        num_threads=request.serving_num_threads,
    )
    reporter.progress(3, 4, "measured latency", is_forced=True)
    dense_latency, pruned_latency = (latency_reports(found) for found in latencies)
    served_metrics = _served_metrics(inputs, retrained, served)
    reporter.begin(Stage.PACKAGE)
    networks = {
        "dense": _network(inputs.program, dense, dense_latency, results.dense_metrics),
        "pruned": _network(results.pruned, served, pruned_latency, results.pruned_metrics),
        "retrained": _network(
            retrained, served, pruned_latency, results.retrained_metrics + served_metrics
        ),
    }
    notes = (*reporter.warnings, *_notes(dense_latency, pruned_latency), *_baseline_notes(results))
    report = make_report(results, networks, onnx_error, notes)
    (folder / "plan.json").write_text(results.trained.plan.to_json())
    (folder / "report.json").write_text(report.model_dump_json(indent=1) + "\n")
    curves = [(g.name, g.saliency, g.num_groups - g.num_kept) for g in report.groups]
    draw_saliency_curves(curves, folder / "saliency_curves.svg")
    (folder / "manifest.json").write_text(_manifest(request, folder, onnx_error))
    files = [name for name in _FILES if (folder / name).exists()]
    return Succeeded(
        result={"summary": _summary(report)},
        report=verdict(retrained, analyse(retrained)),
        files=tuple(OutputFile(name=name, media_type=_FILES[name]) for name in files),
        onnx="model.onnx",
        program="pruned.pt2" if "pruned.pt2" in files else None,
    )


def make_report(
    results: Results,
    networks: dict[str, NetworkReport],
    onnx_error: float,
    notes: tuple[str, ...],
) -> Report:
    """Return the report of a job whose networks are measured."""
    inputs, choice, trained = results.inputs, results.choice, results.trained
    return Report(
        config=inputs.request.config.model_dump(mode="json"),
        metric=inputs.primary_metric,
        objective=inputs.objective,
        criterion=choice.scores.criterion,
        dense=networks["dense"],
        pruned=networks["pruned"],
        retrained=networks["retrained"],
        recalibrated_metrics=results.recalibrated_metrics,
        equivalence=equivalence_report(results.certificate, results.audit),
        onnx_max_absolute_error=onnx_error,
        groups=group_reports(inputs.analysis, trained.plan),
        frozen=tuple(frozen_report(frozen) for frozen in inputs.analysis.frozen),
        criteria_agreement=choice.scores.agreement or {},
        latency_trials=tuple(
            LatencyTrial(asked=asked, measured=measured)
            for asked, measured in choice.latency_trials
        ),
        criterion_trials=choice.scores.trials,
        accuracy_trials=choice.accuracy_trials,
        cuts=trained.cuts,
        learning_rate=trained.learning_rate,
        range_test=range_test_report(trained.range_test),
        history=tuple(epoch_report(record) for record in trained.history),
        baselines=tuple(_baseline(inputs, baseline) for baseline in results.baselines),
        notes=notes,
        stage_seconds=dict(inputs.reporter.stage_seconds),
        device=inputs.request.device,
        versions=_versions(),
    )


def _baseline(inputs: Inputs, baseline: Baseline) -> BaselineReport:
    trained = baseline.trained
    return BaselineReport(
        kind=baseline.kind,
        metrics=inputs.metrics(trained.program),
        history=tuple(epoch_report(record) for record in trained.history),
        learning_rate=trained.learning_rate or 0.0,
    )


def _write_optional(request: JobRequest, program: Program, folder: Path) -> None:
    formats = request.config.export.formats
    if "pt2" in formats:
        write_program(program, folder / "pruned.pt2")
    if "safetensors" in formats:
        tensors = {name: t.contiguous() for name, t in program.tensors.items()}
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


def _served_metrics(inputs: Inputs, program: Program, path: Path) -> tuple[MetricsReport, ...]:
    """Measure the file that /infer serves, with the runtime that serves it."""
    if inputs.dataset is None:
        return ()
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    reports: list[MetricsReport] = []
    for split in (Split.VALIDATION, Split.TEST):
        indices = inputs.dataset.indices(split)
        if len(indices) == 0:
            continue
        judge = Judge(program, inputs.dataset.labels_kind, inputs.reference)
        for part in indices.split(_EVALUATION_BATCH):
            x, y = inputs.dataset.batch(part)
            values = [torch.from_numpy(v) for v in session.run(None, {name: x.numpy()})]
            judge.add(float_outputs(list(values)), x, y, part)
        reports.append(metrics_report(judge.metrics(), split, "onnxruntime"))
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


def _baseline_notes(results: Results) -> tuple[str, ...]:
    """Say so when a baseline did as well as the criterion."""
    metric = results.inputs.primary_metric
    if metric is None:
        return ()
    ours = next((m.value(metric) for m in results.retrained_metrics), None)
    notes = []
    for baseline in results.baselines:
        found = results.inputs.metrics(baseline.trained.program)
        theirs = next((m.value(metric) for m in found), None)
        if ours is None or theirs is None:
            continue
        is_better = theirs <= ours if metric in LOWER_IS_BETTER else theirs >= ours
        if is_better:
            notes.append(
                f"the baseline {baseline.kind!r} did as well: {metric} {theirs:.4f} against "
                f"{ours:.4f} on the {found[0].split} split"
            )
    return tuple(notes)


def _summary(report: Report) -> dict[str, Any]:
    wanted = {"num_parameters", "macs", "file_bytes", "latency_seconds", "metrics"}
    networks = {
        name: getattr(report, name).model_dump(mode="json", include=wanted)
        for name in ("dense", "pruned", "retrained")
    }
    return {
        **networks,
        "metric": report.metric,
        "objective": report.objective,
        "criterion": report.criterion,
        "learning_rate": report.learning_rate,
        "recalibrated_metrics": [m.model_dump(mode="json") for m in report.recalibrated_metrics],
        "equivalence": report.equivalence.model_dump(mode="json"),
        "onnx_max_absolute_error": report.onnx_max_absolute_error,
        "accuracy_trials": [t.model_dump(mode="json") for t in report.accuracy_trials],
        "baselines": [
            {"kind": b.kind, "metrics": [m.model_dump(mode="json") for m in b.metrics]}
            for b in report.baselines
        ],
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
