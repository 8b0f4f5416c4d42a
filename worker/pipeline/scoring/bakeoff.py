"""``criterion: auto``: try the cheap criteria and keep the best.

PruningBench (2024, arXiv:2406.12315) finds no criterion that wins across models, data and ratios.
Each candidate prunes once to the same cost, the network is repaired, and the validation loss
decides. This takes seconds per candidate instead of a retraining. Baselines (``random``) are tried
but never chosen.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import Tensor

from app.contracts.spec import AccuracySelection
from secateur.engine.errors import DataError
from secateur.engine.metrics import Metrics
from secateur.engine.objectives import LabelKind
from secateur.engine.plan import make_plan
from secateur.engine.saliency import CRITERIA
from secateur.engine.selection import Budget, SelectionOptions, Steepness, select
from worker.pipeline.data import Split
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.options import selection_rule
from worker.pipeline.job.settling import settled
from worker.pipeline.scoring.scores import score

_NUM_SAMPLES = 2048
_SEARCHED_SHARE = 0.5


@dataclass(frozen=True)
class Candidate:
    """Result of one criterion.

    Attributes:
        criterion: Name of the criterion.
        scores: (num_groups,) for every family.
        metrics: Metrics of the repaired network on the validation split.
        macs: Share of the dense network's multiply-accumulates.
    """

    criterion: str
    scores: dict[str, Tensor]
    metrics: Metrics
    macs: float


def bake_off(inputs: Inputs) -> tuple[Candidate, tuple[Candidate, ...]]:
    """Return the best candidate, and all candidates with the baselines last.

    Raises:
        DataError: There are no validation samples, or no candidate supports the labels.
        NothingPrunableError: Nothing can be removed.
    """
    if inputs.dataset is None or len(inputs.dataset.indices(Split.VALIDATION)) == 0:
        raise DataError("criterion 'auto' needs validation samples")
    names = _usable(inputs.request.config.criterion.candidates, inputs.dataset.labels_kind)
    baselines = [criterion.name for criterion in CRITERIA.values() if criterion.is_baseline]
    found: list[Candidate] = []
    options: SelectionOptions | None = None
    total = len(names) + len(baselines)
    for number, name in enumerate([*names, *baselines]):
        inputs.reporter.progress(number, total, f"trying {name}", is_forced=True)
        scores = score(inputs, inputs.program, name)
        options = options or _comparable(inputs, scores)
        found.append(_judge(inputs, name, scores, options))
    candidates = found[: len(names)]
    best = min(candidates, key=lambda candidate: (candidate.metrics.loss, candidate.criterion))
    return best, tuple(found)


def _usable(candidates: Iterable[str], labels: LabelKind) -> list[str]:
    """Return the candidates that support the labels, without duplicates."""
    given = dict.fromkeys(candidates)
    names = [name for name in given if labels == "classes" or CRITERIA[name].needs != "classes"]
    if not names:
        needing = " and ".join(given)
        verb = "needs" if len(given) == 1 else "need"
        raise DataError(f"criterion 'auto' has no candidates left: {needing} {verb} classes")
    return names


def _comparable(inputs: Inputs, scores: dict[str, Tensor]) -> SelectionOptions:
    """Return a selection that gives every criterion the same cost, near the config's request.

    With a steepness per criterion, or a measured latency, the costs would differ, and the criterion
    that prunes least would win.
    """
    spec = inputs.request.config.selection
    if isinstance(spec, AccuracySelection):  # the search decides later: half is close enough
        return _every_width(inputs.selection(Budget(spec.unit, _SEARCHED_SHARE)))
    rule = selection_rule(spec)
    if isinstance(rule, Budget) and rule.unit == "latency":
        rule = Budget("macs", rule.share)
    options = _every_width(inputs.selection(rule))
    if not isinstance(rule, Steepness):
        return options
    chosen = select(inputs.analysis, scores, options, inputs.cost)
    share = inputs.cost.macs(chosen.keeps) / max(1, inputs.cost.macs({}))
    return replace(options, mode=Budget("macs", share)) if share < 1 else options


def _every_width(options: SelectionOptions) -> SelectionOptions:
    """Return the options with ``round_to: auto`` replaced by 1, which needs no measurement."""
    return replace(options, round_to=1) if options.round_to == "auto" else options


def _judge(
    inputs: Inputs, name: str, scores: dict[str, Tensor], options: SelectionOptions
) -> Candidate:
    program, analysis = inputs.program, inputs.analysis
    cost = inputs.cost
    keeps = select(analysis, scores, options, cost).keeps
    plan = make_plan(program, analysis, keeps)
    metrics = inputs.score(settled(inputs, program, plan), Split.VALIDATION, _NUM_SAMPLES)
    assert metrics is not None  # noqa: S101  # there are validation samples
    return Candidate(name, scores, metrics, cost.macs(keeps) / max(1, cost.macs({})))
