"""A pruning job: the order of its stages."""

from app.contracts.job import Stage
from worker.messages import JobRequest, Succeeded
from worker.pipeline.job.reporter import Reporter
from worker.pipeline.job.results import Results
from worker.pipeline.report.describe import plan_summary
from worker.pipeline.sanity.after_cut import check_cut
from worker.pipeline.stages.export import export
from worker.pipeline.stages.intake import intake
from worker.pipeline.stages.package import package
from worker.pipeline.stages.prune import compact_untrained
from worker.pipeline.stages.quantize import quantize_exported
from worker.pipeline.stages.repair import repair
from worker.pipeline.stages.retrain import retrain
from worker.pipeline.stages.saliency import measure_saliency
from worker.pipeline.stages.select import choose
from worker.pipeline.stages.verify import verify


def prune(request: JobRequest, reporter: Reporter) -> Succeeded:
    """Prune a model, retrain it, verify it and package it.

    Raises:
        DataMismatchError: The dense network performs too poorly on the data set.
        EngineError: Any engine error; `failures` turns it into the job's final message.
    """
    config = request.config
    reporter.expect(config)

    reporter.begin(Stage.INTAKE)
    inputs = intake(request, reporter)

    reporter.begin(Stage.SALIENCY)
    scores = measure_saliency(inputs)

    reporter.begin(Stage.SELECT)
    choice = choose(inputs, scores)
    reporter.planned(plan_summary(inputs.analysis, choice.plan, scores.criterion))

    reporter.begin(Stage.PRUNE)
    dense_metrics = inputs.metrics(inputs.program)
    # An iterative schedule completes its plan during training, so its untrained networks are
    # measured afterwards.
    untrained = None if choice.cuts is not None else compact_untrained(inputs, choice.plan)

    reporter.begin(Stage.REPAIR)
    repaired = repair(inputs, choice.plan) if choice.cuts is None else None
    start = repaired or untrained
    if start is not None:
        check_cut(inputs, start.program, is_trained=False)

    reporter.begin(Stage.RETRAIN)
    trained, baselines = retrain(inputs, choice)
    if trained.kept.finding is not None:
        reporter.find(trained.kept.finding)
    if config.retrain.epochs != 0 or start is None:
        check_cut(inputs, trained.program, is_trained=True)
    if trained.plan != choice.plan:
        reporter.planned(plan_summary(inputs.analysis, trained.plan, scores.criterion))

    reporter.begin(Stage.VERIFY)
    untrained = untrained or compact_untrained(inputs, trained.plan)
    repaired = repaired or repair(inputs, trained.plan)
    verified = verify(inputs, trained)

    reporter.begin(Stage.EXPORT)
    exported = export(inputs, trained)

    if config.precision.kind == "int8":
        reporter.begin(Stage.QUANTIZE)
    int8 = quantize_exported(inputs, exported)

    reporter.begin(Stage.PACKAGE)
    results = Results(
        inputs,
        choice,
        dense_metrics,
        untrained,
        repaired,
        trained,
        baselines,
        verified,
        exported,
        int8,
    )
    return package(results)
