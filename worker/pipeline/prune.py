"""A pruning job, stage by stage: the one place where the order of things is written down."""

from app.contracts.job import Stage
from worker.engine.errors import DataError
from worker.engine.plan import Plan
from worker.engine.program.program import Program
from worker.engine.retrain import EpochRecord, TrainingData, recalibrate
from worker.engine.surgery import audit, certify_retrained, compact, mask_program
from worker.pipeline.choose import choose, measure_saliency
from worker.pipeline.data import Split
from worker.pipeline.inputs import Inputs, open_inputs
from worker.pipeline.options import retrain_options
from worker.pipeline.package import Results, export_and_package
from worker.pipeline.reporter import Reporter
from worker.pipeline.training import train
from worker.protocol import JobRequest, Succeeded


def prune(request: JobRequest, reporter: Reporter) -> Succeeded:
    """Prune a model, retrain it, prove it and package it.

    Raises:
        EngineError: One of the engine's; `failures` turns it into the job's last message.
    """
    reporter.begin(Stage.INTAKE)
    inputs = open_inputs(request, reporter)
    program, analysis = inputs.program, inputs.analysis
    reporter.begin(Stage.SALIENCY)
    saliency, agreement = measure_saliency(inputs)
    reporter.begin(Stage.SELECT)
    choice = choose(inputs, saliency, agreement)
    plan = choice.plan
    reporter.begin(Stage.PRUNE)
    dense_metrics = inputs.metrics(program)
    pruned = compact(program, analysis, plan)
    batches = [inputs.random_batch(), *inputs.real_batches()]
    parts = audit(program, analysis, plan, batches)
    pruned_metrics = inputs.metrics(pruned)
    twin = mask_program(program, plan)
    if inputs.dataset is not None:
        twin = recalibrate(twin, inputs.recalibration())
    recalibrated = compact(twin, analysis, plan)
    recalibrated_metrics = inputs.metrics(recalibrated)
    reporter.begin(Stage.RETRAIN)
    retrained, history = _retrain(inputs, plan, twin, recalibrated)
    reporter.begin(Stage.VERIFY)
    certificate = certify_retrained(program, analysis, plan, retrained, batches)
    results = Results(
        program=program,
        analysis=analysis,
        choice=choice,
        pruned=pruned,
        retrained=retrained,
        certificate=certificate,
        audit=parts,
        history=history,
        dense_metrics=dense_metrics,
        pruned_metrics=pruned_metrics,
        recalibrated_metrics=recalibrated_metrics,
        retrained_metrics=inputs.metrics(retrained),
        real_batches=batches[1:],
        dataset=inputs.dataset,
    )
    return export_and_package(request, reporter, results)


def _retrain(
    inputs: Inputs, plan: Plan, twin: Program, compacted: Program
) -> tuple[Program, tuple[EpochRecord, ...]]:
    config = inputs.request.config.retrain
    if inputs.dataset is None or config.epochs == 0:
        return compacted, ()
    train_indices = inputs.dataset.indices(Split.TRAIN)
    if len(train_indices) == 0:
        raise DataError("the data set has no training samples")
    data = TrainingData(inputs.dataset, train_indices, inputs.dataset.indices(Split.VALIDATION))
    options = retrain_options(config, inputs.request.config.seed)
    is_masked = config.mode == "masked"
    start = twin if is_masked else compacted
    found = train(inputs.request, inputs.reporter, start, plan, data, options)
    program = compact(found.program, inputs.analysis, plan) if is_masked else found.program
    return program, found.history
