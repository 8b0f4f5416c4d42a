"""Dry run of a pruning job: the response of ``POST /v1/jobs:plan``."""

from typing import Any

from app.contracts.job import Stage
from worker.messages import JobRequest, Succeeded
from worker.pipeline.job.inputs import open_inputs
from worker.pipeline.job.reporter import Reporter
from worker.pipeline.job.settling import repair_kind
from worker.pipeline.report.describe import group_reports, verdict
from worker.pipeline.sanity.check import check_sanity
from worker.pipeline.scoring.planned_quality import planned_quality
from worker.pipeline.selecting.planning import Planner
from worker.pipeline.stages.saliency import measure_saliency
from worker.pipeline.stages.select import choose


def preview(request: JobRequest, reporter: Reporter) -> Succeeded:
    """Return the plan of a pruning job, its cost, and its repair with its quality; store nothing.

    Raises:
        EngineError: The model or the data set is refused, or the selection cannot be met.
            A dense network that does not fit the data is only a warning here.
    """
    reporter.begin(Stage.INTAKE)
    inputs = open_inputs(request, reporter)
    check_sanity(inputs, may_stop=False)
    reporter.begin(Stage.SALIENCY)
    scores = measure_saliency(inputs)
    reporter.begin(Stage.SELECT)
    choice = choose(inputs, scores)
    plan, quality = choice.plan, None
    if choice.cuts is not None:
        plan = Planner(inputs, scores).plan(inputs.program, choice.cuts.goal)
        reporter.warn(
            "an iterative schedule measures saliencies again at every cut, so later cuts "
            "may remove other filters"
        )
    else:
        quality = planned_quality(inputs, plan, request.preview_seconds)
    cost, keeps = inputs.cost, plan.keeps()
    dense = {"macs": cost.macs({}), "num_parameters": cost.params({})}
    pruned = {"macs": cost.macs(keeps), "num_parameters": cost.params(keeps)}
    result: dict[str, Any] = {
        "config": request.config.model_dump(mode="json"),
        "fingerprint": plan.fingerprint,
        "dense": dense,
        "pruned": pruned,
        "left": {name: pruned[name] / max(1, dense[name]) for name in dense},
        "groups": [
            {**group.model_dump(mode="json"), "kept": family.kept}
            for group, family in zip(
                group_reports(inputs.analysis, plan), plan.families, strict=True
            )
        ],
        "repair": repair_kind(inputs),
        "quality": None if quality is None else quality.model_dump(mode="json"),
        "criteria_agreement": scores.agreement or {},
        "latency_trials": [
            {"asked": asked, "measured": measured} for asked, measured in choice.latency_trials
        ],
        "target": None if choice.target is None else choice.target.model_dump(mode="json"),
        "warnings": [*reporter.warnings, *(finding.message for finding in reporter.findings)],
        "findings": [finding.model_dump(mode="json") for finding in reporter.findings],
    }
    return Succeeded(result=result, report=verdict(inputs.program, inputs.analysis))
