"""A pruning job, stage by stage: the one place where the order of things is written down."""

from dataclasses import dataclass

from app.contracts.job import Stage
from app.contracts.report import MetricsReport
from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.surgery import Audit, audit, certify_retrained, compact
from worker.messages import JobRequest, Succeeded
from worker.pipeline.job.inputs import Inputs, open_inputs
from worker.pipeline.job.reporter import Reporter
from worker.pipeline.report.describe import plan_summary, unused_inputs
from worker.pipeline.report.report import Results
from worker.pipeline.stages.baselines import Baseline, train_baselines
from worker.pipeline.stages.dense_onnx import export_dense
from worker.pipeline.stages.package import export_and_package
from worker.pipeline.stages.retrain import Trained, start_of, train
from worker.pipeline.stages.saliency import measure_saliency
from worker.pipeline.stages.sanity import check_sanity
from worker.pipeline.stages.select import Choice, choose


@dataclass(frozen=True)
class Before:
    """The pruned network before it was trained.

    Attributes:
        pruned: Compacted, with the dense network's weights and statistics.
        audit: Of its plan, part by part.
        pruned_metrics: Of it.
        recalibrated_metrics: With BatchNorm statistics measured anew.
    """

    pruned: Program
    audit: Audit
    pruned_metrics: tuple[MetricsReport, ...]
    recalibrated_metrics: tuple[MetricsReport, ...]


def prune(request: JobRequest, reporter: Reporter) -> Succeeded:
    """Prune a model, retrain it, prove it and package it.

    Raises:
        DataMismatchError: The dense network does not know the samples.
        EngineError: One of the engine's; `failures` turns it into the job's last message.
    """
    reporter.expect(request.config)
    reporter.begin(Stage.INTAKE)
    inputs = open_inputs(request, reporter)
    for note in unused_inputs(inputs.program):
        reporter.warn(note)
    if "onnx" in request.config.export.formats:
        export_dense(inputs)
    check_sanity(inputs)
    reporter.begin(Stage.SALIENCY)
    scores = measure_saliency(inputs)
    reporter.begin(Stage.SELECT)
    choice = choose(inputs, scores)
    reporter.planned(plan_summary(inputs.analysis, choice.plan, scores.criterion))
    reporter.begin(Stage.PRUNE)
    dense_metrics = inputs.metrics(inputs.program)
    # An iterative schedule decides on the way what is cut, so what its plan leaves without
    # training is looked at when the plan is there.
    before = None if choice.cuts is not None else _look(inputs, choice.plan)
    reporter.begin(Stage.RETRAIN)
    trained, baselines = _retrain(inputs, choice)
    if trained.kept.finding is not None:
        reporter.find(trained.kept.finding)
    if trained.plan != choice.plan:  # an iterative schedule has cut more on the way
        reporter.planned(plan_summary(inputs.analysis, trained.plan, scores.criterion))
    reporter.begin(Stage.VERIFY)
    before = before or _look(inputs, trained.plan)
    batches = [inputs.random_batch(), *inputs.real_batches()]
    certificate = certify_retrained(
        inputs.program, inputs.analysis, trained.plan, trained.program, batches
    )
    results = Results(
        inputs=inputs,
        choice=choice,
        trained=trained,
        baselines=baselines,
        pruned=before.pruned,
        certificate=certificate,
        audit=before.audit,
        dense_metrics=dense_metrics,
        pruned_metrics=before.pruned_metrics,
        recalibrated_metrics=before.recalibrated_metrics,
        retrained_metrics=inputs.metrics(trained.program),
    )
    return export_and_package(results)


def _look(inputs: Inputs, plan: Plan) -> Before:
    """Return what a plan leaves without training."""
    program, analysis = inputs.program, inputs.analysis
    pruned = compact(program, analysis, plan)
    batches = [inputs.random_batch(), *inputs.real_batches()]
    return Before(
        pruned,
        audit(program, analysis, plan, batches),
        inputs.metrics(pruned),
        inputs.metrics(inputs.recalibrated(pruned)),
    )


def _retrain(inputs: Inputs, choice: Choice) -> tuple[Trained, tuple[Baseline, ...]]:
    start = start_of(inputs, choice.plan, choice.cuts)
    if not inputs.request.config.baselines or inputs.objective is None:
        return train(inputs, start), ()
    with inputs.reporter.part(0, 3, "retraining"):
        trained = train(inputs, start)
    with inputs.reporter.part(1, 3, "baselines", num_parts=2):
        return trained, train_baselines(inputs, trained.plan)
