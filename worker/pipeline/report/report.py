"""Builds the report of a pruning job from the results of its stages."""

from typing import Any

import torch

from app.contracts.installation import installed_version
from app.contracts.report import (
    BaselineReport,
    LatencyTrial,
    LayerReport,
    NetworkReport,
    Report,
)
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.results import Baseline, Results
from worker.pipeline.report.accelerator import accelerator_report
from worker.pipeline.report.describe import (
    epoch_report,
    equivalence_report,
    frozen_report,
    group_reports,
    range_test_report,
)
from worker.pipeline.report.doubts import (
    baseline_notes,
    int8_budget_notes,
    latency_budget_notes,
    latency_notes,
    promise_notes,
    sample_notes,
    target_notes,
    unfolding_notes,
    without_repeats,
)
from worker.pipeline.report.int8 import int8_report
from worker.pipeline.report.subject import data_report, model_report
from worker.pipeline.report.verdict import judge

_NO_ONNX = "no ONNX file was requested: latency was not measured, and the model cannot be served"
_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy", "safetensors")


def make_report(
    results: Results,
    networks: dict[str, NetworkReport],
    layers: tuple[LayerReport, ...],
) -> Report:
    """Return the report of a job from its results and the measured networks and layers."""
    inputs, choice, trained = results.inputs, results.choice, results.trained
    times, final = results.exported.times, results.verified
    baselines = tuple(_baseline(inputs, baseline) for baseline in results.baselines)
    sampled = sample_notes(inputs.primary_metric, final.metrics)
    notes = (
        *without_repeats(inputs.reporter.warnings, sampled, inputs.dataset),
        *unfolding_notes(trained.num_unfolded),
        *((_NO_ONNX,) if times is None else latency_notes(times)),
        *latency_budget_notes(inputs.request.config.selection, times),
        *int8_budget_notes(inputs.request.config.selection, times, results.int8),
        *target_notes(choice.target),
        *sampled,
        *promise_notes(inputs.request.config.selection, choice.accuracy_trials),
        *baseline_notes(inputs.primary_metric, final.metrics, baselines),
    )
    report = Report(
        config=inputs.request.config.model_dump(mode="json"),
        task=inputs.chosen.task.name,
        metric=inputs.primary_metric,
        objective=inputs.objective,
        criterion=choice.scores.criterion,
        model=model_report(inputs),
        data=data_report(inputs),
        dense=networks["dense"],
        pruned=networks["pruned"],
        repaired=networks.get("repaired"),
        repair=results.repaired.report if results.repaired is not None else None,
        retrained=networks["retrained"],
        speedups=() if times is None else times.speedups,
        load=None if times is None else times.load,
        int8=int8_report(results.int8),
        recalibrated_metrics=results.untrained.recalibrated_metrics,
        equivalence=equivalence_report(final.certificate, results.untrained.audit),
        onnx_max_absolute_error=results.exported.onnx_error,
        export_targets=results.exported.targets,
        groups=group_reports(inputs.analysis, trained.plan),
        layers=layers,
        frozen=tuple(frozen_report(frozen) for frozen in inputs.analysis.frozen),
        criteria_agreement=choice.scores.agreement or {},
        latency_trials=tuple(
            LatencyTrial(asked=asked, measured=measured, precision=precision)
            for (asked, measured), precision in zip(
                choice.latency_trials, choice.trial_precisions, strict=True
            )
        ),
        target=choice.target,
        criterion_trials=choice.scores.trials,
        accuracy_trials=choice.accuracy_trials,
        cuts=trained.cuts,
        learning_rate=trained.learning_rate,
        range_test=range_test_report(trained.range_test),
        epochs=trained.epochs,
        history=tuple(epoch_report(record) for record in trained.history),
        kept=trained.kept.report(),
        baselines=baselines,
        findings=tuple(inputs.reporter.findings),
        notes=notes,
        stage_seconds=dict(inputs.reporter.stage_seconds),
        device=str(inputs.device),
        accelerator=accelerator_report(inputs),
        versions=versions(),
    )
    return report.model_copy(update={"verdict": judge(report)})


def _baseline(inputs: Inputs, baseline: Baseline) -> BaselineReport:
    trained = baseline.trained
    return BaselineReport(
        kind=baseline.kind,
        metrics=inputs.metrics(trained.program),
        history=tuple(epoch_report(record) for record in trained.history),
        learning_rate=trained.learning_rate or 0.0,
    )


def summary(report: Report) -> dict[str, Any]:
    """Return the part of a report that the job object shows."""
    wanted = {"num_parameters", "macs", "file_bytes", "latency_seconds", "metrics"}
    # Classes may be many, and lists of jobs show every summary; the report has them.
    left_out = {"metrics": {"__all__": {"classes"}}}
    networks = {
        name: (
            network.model_dump(mode="json", include=wanted, exclude=left_out)
            if network is not None
            else None
        )
        for name in ("dense", "pruned", "repaired", "retrained")
        for network in [getattr(report, name)]
    }
    return {
        "verdict": report.verdict.model_dump(mode="json") if report.verdict else None,
        **networks,
        "speedups": [found.model_dump(mode="json") for found in report.speedups],
        "load": report.load.model_dump(mode="json") if report.load is not None else None,
        "int8": _int8_summary(report),
        "task": report.task,
        "metric": report.metric,
        "objective": report.objective,
        "criterion": report.criterion,
        "learning_rate": report.learning_rate,
        "recalibrated_metrics": [m.model_dump(mode="json") for m in report.recalibrated_metrics],
        "equivalence": report.equivalence.model_dump(mode="json"),
        "onnx_max_absolute_error": report.onnx_max_absolute_error,
        "export_targets": [each.model_dump(mode="json") for each in report.export_targets],
        "accuracy_trials": [t.model_dump(mode="json") for t in report.accuracy_trials],
        "baselines": [
            {"kind": b.kind, "metrics": [m.model_dump(mode="json") for m in b.metrics]}
            for b in report.baselines
        ],
        "epochs": report.epochs.model_dump(mode="json") if report.epochs else None,
        "kept": report.kept.model_dump(mode="json") if report.kept else None,
        "findings": [finding.model_dump(mode="json") for finding in report.findings],
        "notes": list(report.notes),
    }


def _int8_summary(report: Report) -> dict[str, Any] | None:
    left_out = {"trials", "float_layers", "metrics"}
    return report.int8.model_dump(mode="json", exclude=left_out) if report.int8 else None


def versions() -> dict[str, str]:
    """Return the versions of Secateur and of the packages that produced the artifact."""
    found = {name: installed_version(name) for name in ("secateur", *_PACKAGES)}
    return {**found, "torch_build": torch.__version__}
