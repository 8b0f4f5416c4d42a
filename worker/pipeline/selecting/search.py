"""``selection: accuracy``: search for the smallest network within ``max_drop``.

Each trial prunes to a budget, retrains like the job, and is scored on the validation split. The
budgets are bisected on a logarithmic scale between the narrowest network and the dense one. A trial
is a training run with its own checkpoints, so the retrain stage reuses the best trial.
"""

import math
from dataclasses import dataclass

from app.contracts.report import AccuracyTrial
from app.contracts.spec import AccuracySelection
from secateur.engine.errors import DataError, DivergenceError, PlanError
from secateur.engine.metrics import METRICS, Metrics
from secateur.engine.plan import Plan
from secateur.engine.selection import Budget
from worker.pipeline.data import Split
from worker.pipeline.job.identity import job_key
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.selecting.planning import Planner
from worker.pipeline.training.run import start_of, train

_FIRST_SHARE = 0.5
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Found:
    """The chosen plan, the rule behind it, and every trial."""

    mode: Budget
    trials: tuple[AccuracyTrial, ...]


def search(inputs: Inputs, planner: Planner, spec: AccuracySelection) -> Found:
    """Return the plan of the smallest budget within ``max_drop``.

    A trial that diverges counts as over the limit, and the search continues.

    Raises:
        DataError: There are no validation samples.
        DivergenceError: Every trial diverged.
        PlanError: No trial stayed within ``max_drop``; the message names the nearest.
    """
    dense = inputs.score(inputs.program, Split.VALIDATION)
    if dense is None or inputs.objective is None:
        raise DataError(
            "selection mode 'accuracy' needs a data set with validation samples, and "
            "retrain.epochs of 1 or more"
        )
    known: dict[str, AccuracyTrial] = {}
    trials: list[AccuracyTrial] = []
    low, high = _narrowest(inputs, planner, spec), 1.0
    share, kept = max(_FIRST_SHARE, math.sqrt(low)), None
    for number in range(spec.max_trials):
        budget = Budget(spec.unit, share)
        message = f"trial {number + 1} of {spec.max_trials}: {share:.3f} of the {spec.unit}"
        with inputs.reporter.part(number, spec.max_trials, message):
            trial = _try(inputs, planner, budget, dense, spec.max_drop, known)
        trials.append(trial)
        key = f"{job_key(inputs.request, 'trial')}.{number}"
        inputs.reporter.metric({"kind": "trial", **trial.model_dump()}, key)
        if trial.is_kept:
            kept, high = budget, share
        else:
            low = share
        share = math.sqrt(low * high)
    if kept is None:
        drops = [(trial.drop, trial.asked) for trial in trials if trial.drop is not None]
        if not drops:
            raise DivergenceError(f"training diverged in all of {spec.max_trials} trials")
        drop, asked = min(drops)
        raise PlanError(
            f"no pruning kept max_drop {spec.max_drop:g} in {spec.max_trials} trials: the nearest "
            f"lost {drop:.4f} with {asked:.3f} of the {spec.unit} left",
            hint="Allow more in selection.max_drop, selection.max_trials or retrain.epochs.",
        )
    return Found(kept, tuple(trials))


def _narrowest(inputs: Inputs, planner: Planner, spec: AccuracySelection) -> float:
    """Return the share of the cost that remains with every layer at its narrowest."""
    cost = inputs.cost
    keeps = planner.narrowest()
    measure = cost.macs if spec.unit == "macs" else cost.params
    return max(_LEAST_SHARE, measure(keeps) / max(1, measure({})))


def _try(  # everything that determines a trial
    inputs: Inputs,
    planner: Planner,
    budget: Budget,
    dense: Metrics,
    max_drop: float,
    known: dict[str, AccuracyTrial],
) -> AccuracyTrial:
    cuts = planner.cuts(budget)
    plan = cuts.first() if cuts is not None else planner.plan(inputs.program, budget)
    key = f"{budget}" if cuts is not None else str(plan.axes)
    if key in known:  # another budget gave the same widths
        return known[key].model_copy(update={"asked": budget.share})
    try:
        trained = train(inputs, start_of(inputs, plan, cuts))
    except DivergenceError as error:
        inputs.reporter.warn(f"a trial with {budget.share:.3f} of the {budget.unit} left: {error}")
        macs, params = shares_left(inputs, plan)
        known[key] = AccuracyTrial(
            asked=budget.share,
            macs=macs,
            params=params,
            validation_metric=None,
            drop=None,
            is_kept=False,
        )
        return known[key]
    score = inputs.score(trained.program, Split.VALIDATION)
    assert score is not None  # noqa: S101  # the dense network has one
    drop, change = dense.score - score.score, score.doubt().change
    interval = None if change is None else (-change.high, -change.low)
    if change is not None and METRICS[score.primary].is_less_better:
        interval = change.low, change.high
    macs, params = shares_left(inputs, trained.plan)
    known[key] = AccuracyTrial(
        asked=budget.share,
        macs=macs,
        params=params,
        validation_metric=score.values[score.primary],
        drop=drop,
        drop_interval=interval,
        is_kept=drop <= max_drop + 1e-12,  # 0.92 - 0.91 is more than 0.01
    )
    return known[key]


def shares_left(inputs: Inputs, plan: Plan) -> tuple[float, float]:
    """Return the shares of MACs and parameters that remain after a plan."""
    cost, keeps = inputs.cost, plan.keeps()
    return cost.macs(keeps) / max(1, cost.macs({})), cost.params(keeps) / max(1, cost.params({}))
