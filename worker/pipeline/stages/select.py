"""Select: make the plan from saliencies by rule, measured latency or search."""

from dataclasses import replace

from app.contracts.spec import AccuracySelection, chooses_by_latency
from app.contracts.suggestions import suggestion
from secateur.engine.plan import Plan
from secateur.engine.selection import Budget, Ratio
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.options import Rule, selection_rule
from worker.pipeline.job.results import Choice, Scores
from worker.pipeline.selecting.clock import choose_by_clock
from worker.pipeline.selecting.planning import Planner
from worker.pipeline.selecting.search import search
from worker.pipeline.selecting.target import choose_for_target

_MAX_REASONS = 3


def choose(inputs: Inputs, scores: Scores) -> Choice:
    """Return the plan for the config's selection.

    Plans based on measured latency are stored, so that a retry after a crash reuses the plan of the
    previous attempt.

    Raises:
        NothingPrunableError: No family can lose a channel under these options.
        PlanError: No plan meets the budget, or no trial meets ``max_drop``; the message names the
            nearest one.
        DataError: A search has no validation samples.
    """
    spec = inputs.request.config.selection
    planner = Planner(inputs, scores)
    names = inputs.program.parameters()
    for glob in inputs.limits.unmatched(names):
        meant = suggestion(glob, names)
        inputs.reporter.warn(f"{glob!r} matches no parameter of the model{meant}")
    if isinstance(spec, AccuracySelection):
        found = search(inputs, planner, spec)
        choice = replace(_by_rule(inputs, planner, found.mode), accuracy_trials=found.trials)
    elif spec.target is not None:
        choice = choose_for_target(inputs, planner, spec)
    elif chooses_by_latency(inputs.request.config):
        choice = choose_by_clock(inputs, planner, spec)
    else:
        choice = _by_rule(inputs, planner, selection_rule(spec))
    _warn_if_nothing(inputs, choice.plan)
    return choice


def _by_rule(inputs: Inputs, planner: Planner, rule: Rule) -> Choice:
    cuts = planner.cuts(rule) if isinstance(rule, (Budget, Ratio)) else None
    plan = cuts.first() if cuts is not None else planner.plan(inputs.program, rule)
    return Choice(plan, planner.scores, cuts)


def _warn_if_nothing(inputs: Inputs, plan: Plan) -> None:
    if plan.num_removed > 0:
        return
    reasons = sorted({str(f.detail["reason"]) for f in plan.families})
    more = f" … ({len(reasons)} reasons)" if len(reasons) > _MAX_REASONS else ""
    inputs.reporter.warn(
        f"the selection removes nothing: {'; '.join(reasons[:_MAX_REASONS])}{more}"
    )
