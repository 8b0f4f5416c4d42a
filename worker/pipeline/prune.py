"""A pruning job, stage by stage: the one place where the order of things is written down."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.contracts.job import Stage
from app.contracts.report import MetricsReport
from app.contracts.spec import PreprocessSpec
from worker.engine.errors import DataError
from worker.engine.graph import Analysis, analyse
from worker.engine.graph.cost import CostModel
from worker.engine.plan import Plan, make_plan
from worker.engine.program.program import Program
from worker.engine.program.reader import read_program
from worker.engine.retrain import EpochRecord, TrainingData, evaluate, recalibrate
from worker.engine.saliency import CRITERIA, CalibrationBatch
from worker.engine.selection import select
from worker.engine.surgery import Certificate, certify, compact, expand_program, mask_program
from worker.pipeline.checks import check_fit
from worker.pipeline.data import Dataset, Split, open_dataset
from worker.pipeline.describe import finite
from worker.pipeline.options import retrain_options, saliency_options, selection_options
from worker.pipeline.package import Results, export_and_package
from worker.pipeline.reporter import Reporter
from worker.pipeline.training import train
from worker.protocol import JobRequest, Succeeded

_NUM_CHECKED = 8  # samples of each kind that the certificate compares
_NUM_RECALIBRATION_SAMPLES = 2048
_RECALIBRATION_BATCH = 256


@dataclass(frozen=True)
class _Job:
    """What every stage needs."""

    request: JobRequest
    reporter: Reporter
    program: Program
    analysis: Analysis
    dataset: Dataset | None


def prune(request: JobRequest, reporter: Reporter) -> Succeeded:
    """Prune a model, retrain it, prove it and package it.

    Raises:
        EngineError: One of the engine's; `failures` turns it into the job's last message.
    """
    reporter.begin(Stage.INTAKE)
    job = _open(request, reporter)
    reporter.begin(Stage.SALIENCY)
    saliency = _measure(job)
    reporter.begin(Stage.SELECT)
    plan = _select(job, saliency)
    reporter.begin(Stage.PRUNE)
    dense_metrics = _metrics(job, job.program)
    pruned = compact(job.program, job.analysis, plan)
    _certify(job, plan, mask_program(job.program, plan), pruned)
    pruned_metrics = _metrics(job, pruned)
    twin = _recalibrated(job, mask_program(job.program, plan))
    recalibrated = compact(twin, job.analysis, plan)
    recalibrated_metrics = _metrics(job, recalibrated)
    reporter.begin(Stage.RETRAIN)
    retrained, history = _retrain(job, plan, twin, recalibrated)
    reporter.begin(Stage.VERIFY)
    expanded = expand_program(job.program, plan, retrained)
    certificate = _certify(job, plan, expanded, retrained)
    retrained_metrics = _metrics(job, retrained)
    results = Results(
        program=job.program,
        analysis=job.analysis,
        plan=plan,
        pruned=pruned,
        retrained=retrained,
        certificate=certificate,
        history=history,
        dense_metrics=dense_metrics,
        pruned_metrics=pruned_metrics,
        recalibrated_metrics=recalibrated_metrics,
        retrained_metrics=retrained_metrics,
        real_batches=_real_batches(job),
        dataset=job.dataset,
    )
    return export_and_package(request, reporter, results)


def _open(request: JobRequest, reporter: Reporter) -> _Job:
    assert request.model_path is not None  # noqa: S101  # the supervisor always gives one
    program = read_program(request.model_path)
    analysis = analyse(program)
    dataset = None
    if request.dataset_path is not None and request.dataset_format is not None:
        image_shape = program.inputs[0].shape[1:]
        dataset = open_dataset(
            request.dataset_path,
            request.dataset_format,
            request.preprocess or PreprocessSpec(),
            _scratch(request),
            image_pixels=request.image_pixels,
            image_shape=tuple(size for size in image_shape if size is not None),
        )
        check_fit(program, dataset)
    elif request.config.retrain.epochs > 0:
        reporter.warn("no data set was given: the pruned network is not retrained")
    return _Job(request, reporter, program, analysis, dataset)


def _scratch(request: JobRequest) -> Path:
    folder = request.output_dir.parent / "data"
    folder.mkdir(exist_ok=True)
    return folder


def _measure(job: _Job) -> dict[str, Tensor]:
    config = job.request.config
    batches = None
    if job.dataset is not None:
        chosen = job.dataset.indices(Split.TRAIN)[: config.criterion.num_samples]
        x, y = job.dataset.batch(chosen)
        batches = (CalibrationBatch((x,), y),)
    criterion = CRITERIA[config.criterion.kind]
    return criterion(job.program, job.analysis, batches, saliency_options(config))


def _select(job: _Job, saliency: dict[str, Tensor]) -> Plan:
    config = job.request.config
    cost = CostModel(job.program, job.analysis)
    found = select(job.analysis, saliency, selection_options(config.selection), cost)
    for glob in found.unmatched:
        job.reporter.warn(f"{glob!r} matches no parameter of the model")
    settings: dict[str, Any] = {
        "criterion": config.criterion.model_dump(mode="json"),
        "selection": config.selection.model_dump(mode="json"),
        "seed": config.seed,
    }
    plan = make_plan(
        job.program,
        job.analysis,
        found.keeps,
        saliency=saliency,
        details=found.details,
        settings=settings,
    )
    if plan.num_removed == 0:
        job.reporter.warn(
            "the selection removes nothing: "
            + "; ".join(sorted({str(f.detail["reason"]) for f in plan.families}))
        )
    return plan


def _certify(job: _Job, plan: Plan, twin: Program, compacted: Program) -> Certificate:
    shrunk = {family.name for family in plan.families if len(family.kept) < family.num_groups}
    inexact = {op for f in job.analysis.families if f.name in shrunk for op in f.inexact_ops}
    batches = [job.program.example_inputs(_NUM_CHECKED), *_real_batches(job)]
    return certify(twin, compacted, batches, tuple(sorted(inexact)))


def _real_batches(job: _Job) -> list[tuple[Tensor, ...]]:
    if job.dataset is None:
        return []
    chosen = job.dataset.indices(_best_split(job.dataset))[:_NUM_CHECKED]
    return [(job.dataset.batch(chosen)[0],)]


def _best_split(dataset: Dataset) -> Split:
    """Return the split the final number is about: test, else validation."""
    has_test = len(dataset.indices(Split.TEST)) > 0
    return Split.TEST if has_test else Split.VALIDATION


def _metrics(job: _Job, program: Program) -> tuple[MetricsReport, ...]:
    if job.dataset is None:
        return ()
    reports: list[MetricsReport] = []
    for split in (Split.VALIDATION, Split.TEST):
        indices = job.dataset.indices(split)
        if len(indices) == 0:
            continue
        found = evaluate(program, job.dataset, indices)
        reports.append(
            MetricsReport(
                split="test" if split is Split.TEST else "validation",
                top1=found.top1,
                loss=finite(found.loss),
                num_samples=found.num_samples,
                runtime="torch",
            )
        )
    return tuple(reports)


def _recalibrated(job: _Job, program: Program) -> Program:
    if job.dataset is None:
        return program
    dataset = job.dataset
    chosen = dataset.indices(Split.TRAIN)[:_NUM_RECALIBRATION_SAMPLES]
    parts = torch.split(chosen, _RECALIBRATION_BATCH)
    return recalibrate(program, [dataset.batch(part)[0] for part in parts])


def _retrain(
    job: _Job, plan: Plan, twin: Program, compacted: Program
) -> tuple[Program, tuple[EpochRecord, ...]]:
    config = job.request.config.retrain
    if job.dataset is None or config.epochs == 0:
        return compacted, ()
    train_indices = job.dataset.indices(Split.TRAIN)
    if len(train_indices) == 0:
        raise DataError("the data set has no training samples")
    data = TrainingData(job.dataset, train_indices, job.dataset.indices(Split.VALIDATION))
    options = retrain_options(config, job.request.config.seed)
    is_masked = config.mode == "masked"
    start = twin if is_masked else compacted
    found = train(job.request, job.reporter, start, plan, data, options)
    program = compact(found.program, job.analysis, plan) if is_masked else found.program
    return program, found.history
