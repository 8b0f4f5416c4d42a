"""``selection: accuracy``: search for the smallest network within ``max_drop``.

Budgets are bisected on a logarithmic scale between the narrowest network and the dense one. A trial
is judged by its repaired network, in seconds. Training wins back most of what such a network still
lacks, so the first one that is trained may lack several times ``max_drop``. If training does not
keep the promise, a wider network is trained, at last one that keeps it without training. The
promise is always checked on the network that is the result.

An iterative schedule cuts while it trains, and without repair the untrained networks do not tell
how good trained ones are: then every trial is trained. The retrain stage reuses the checkpoints.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from app.contracts.report import AccuracyTrial
from app.contracts.spec import AccuracySelection, IterativeSchedule
from secateur.engine.errors import DataError, DivergenceError, PlanError
from secateur.engine.selection import Budget
from worker.pipeline.data import Split
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.settling import repair_kind
from worker.pipeline.selecting.planning import Planner
from worker.pipeline.selecting.trials import ROUNDING, Trials

_FIRST_SHARE = 0.5
_LEAST_SHARE = 0.01
_ALLOWANCE = 6.0  # times max_drop: drop of the repaired network that is trained first
_CAUTION = 0.75  # share of the allowance that the first training calls for
# Parts of the progress bar, in percent: most searches end with their first training.
_SPANS = ((0, 90), (90, 6), (96, 2), (98, 2))
_TRIALS_SHARE = 4  # repaired trials take a quarter of a part

Judge = Callable[[float], AccuracyTrial]


@dataclass(frozen=True)
class Found:
    """The chosen budget, and every trial."""

    mode: Budget
    trials: tuple[AccuracyTrial, ...]


def search(inputs: Inputs, planner: Planner, spec: AccuracySelection) -> Found:
    """Return the smallest budget within ``max_drop``.

    A trial that diverges counts as over the limit, and the search continues.

    Raises:
        DataError: There are no validation samples.
        DivergenceError: Every trial diverged.
        PlanError: No trial stayed within ``max_drop``; the message names the nearest.
    """
    dense = inputs.score(inputs.program, Split.VALIDATION)
    if dense is None:
        raise DataError("selection mode 'accuracy' needs a data set with validation samples")
    trials = Trials(inputs, planner, spec, dense)
    low = _narrowest(inputs, planner, spec)
    is_iterative = isinstance(inputs.request.config.schedule, IterativeSchedule)
    if inputs.objective is None:
        kept = bisect(trials, trials.repaired, spec.max_drop, low)
    elif is_iterative or repair_kind(inputs) != "reconstruct":
        kept = bisect(trials, trials.trained, spec.max_drop, low)
    else:
        kept = guided(trials, low)
    if kept is None:
        raise _refusal(trials)
    return Found(Budget(spec.unit, kept.asked), tuple(trials.done))


def guided(trials: Trials, low: float) -> AccuracyTrial | None:
    """Return the narrowest trial that keeps the promise after training, judged by repair first."""
    max_drop, part = trials.spec.max_drop, trials.inputs.reporter.part
    limit = _ALLOWANCE * max_drop
    for number, (start, size) in enumerate(_SPANS[:-1]):
        with part(start, 100, "", num_parts=size):
            with part(0, _TRIALS_SHARE, ""):
                candidate = bisect(trials, trials.repaired, limit, low)
            if candidate is None:
                break
            name = f"training with {candidate.asked:.3f} of the {trials.spec.unit}"
            with part(1, _TRIALS_SHARE, name, num_parts=_TRIALS_SHARE - 1):
                trained = trials.trained(candidate.asked)
        if trained.is_kept:
            return trained
        low = candidate.asked
        if limit <= max_drop:
            break
        limit = _allowance(candidate, trained, max_drop) if number == 0 else max_drop
    start, size = _SPANS[-1]
    with part(start, 100, "", num_parts=size):  # repair foretells too little here
        return bisect(trials, trials.trained, max_drop, low)


def _allowance(candidate: AccuracyTrial, trained: AccuracyTrial, max_drop: float) -> float:
    """Return the drop before training that a first training shows to be within reach."""
    if candidate.drop is None or trained.drop is None or trained.drop <= 0:
        return max_drop
    return max(max_drop, _CAUTION * max_drop * candidate.drop / trained.drop)


def bisect(trials: Trials, judge: Judge, limit: float, low: float) -> AccuracyTrial | None:
    """Return the narrowest trial whose drop is at most ``limit``; None if there is none."""
    spec, kept, high = trials.spec, None, 1.0
    share = max(_FIRST_SHARE, math.sqrt(low))
    for number in range(spec.max_trials):
        name = f"trial {number + 1} of {spec.max_trials}: {share:.3f} of the {spec.unit}"
        with trials.inputs.reporter.part(number, spec.max_trials, name):
            trial = judge(share)
        if trial.drop is not None and trial.drop <= limit + ROUNDING:
            kept, high = trial, share
        else:
            low = share
        share = math.sqrt(low * high)
    return kept


def _refusal(trials: Trials) -> DivergenceError | PlanError:
    spec = trials.spec
    judged = [trial for trial in trials.done if trial.is_trained] or trials.done
    drops = [(trial.drop, trial.asked) for trial in judged if trial.drop is not None]
    if not drops:
        return DivergenceError(f"training diverged in all of {len(judged)} trials")
    drop, asked = min(drops)
    return PlanError(
        f"no pruning kept max_drop {spec.max_drop:g} in {len(judged)} trials: the nearest "
        f"lost {drop:.4f} with {asked:.3f} of the {spec.unit} left",
        hint="Allow more in selection.max_drop, selection.max_trials or retrain.epochs.",
    )


def _narrowest(inputs: Inputs, planner: Planner, spec: AccuracySelection) -> float:
    """Return the share of the cost that remains with every layer at its narrowest."""
    cost = inputs.cost
    keeps = planner.narrowest()
    measure = cost.macs if spec.unit == "macs" else cost.params
    return max(_LEAST_SHARE, measure(keeps) / max(1, measure({})))
