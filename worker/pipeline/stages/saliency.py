"""The stage saliency: how much every channel group matters, remembered between jobs of a sweep."""

from dataclasses import dataclass

from torch import Tensor

from app.contracts.report import CriterionTrial
from secateur.engine.errors import DataError, NothingPrunableError
from secateur.engine.program.program import Program
from secateur.engine.saliency import CRITERIA, agreement_with_loss
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.options import saliency_options
from worker.pipeline.report.describe import doubt_report, finite
from worker.pipeline.stages.bakeoff import Candidate, bake_off
from worker.pipeline.stages.saliency_cache import recall_scores, remember_scores, saliency_key

_MAX_REASONS = 3


@dataclass(frozen=True)
class Scores:
    """What the dense network's channel groups are worth.

    Attributes:
        by_family: (num_groups,) for every family.
        criterion: Its name: of ``auto``, what was chosen.
        trials: What ``auto`` compared.
        agreement: Spearman's rho of each criterion with the exact loss, where asked for.
    """

    by_family: dict[str, Tensor]
    criterion: str
    trials: tuple[CriterionTrial, ...] = ()
    agreement: dict[str, float] | None = None


def measure_saliency(inputs: Inputs) -> Scores:
    """Return the scores of every family, and on request how criteria agree with the loss.

    Raises:
        NothingPrunableError: The network has no channel group that may go.
        DataError: The criterion looks at data, and there is none.
    """
    _refuse_if_frozen(inputs)
    config = inputs.request.config
    if config.criterion.kind == "auto":
        best, all_tried = bake_off(inputs)
        trials = tuple(_trial(candidate) for candidate in all_tried)
        found = Scores(best.scores, best.criterion, trials)
    else:
        found = Scores(_remembered(inputs, config.criterion.kind), config.criterion.kind)
    if not config.criterion.compare:
        return found
    batches = inputs.calibration()
    if batches is None:
        raise DataError("criterion.compare needs a data set")
    options = saliency_options(config)
    agreement = agreement_with_loss(inputs.program, inputs.analysis, batches, options)
    return Scores(found.by_family, found.criterion, found.trials, agreement)


def score(inputs: Inputs, program: Program, criterion: str) -> dict[str, Tensor]:
    """Return the scores of a program over the dense network's graph, such as a masked twin."""
    options = saliency_options(inputs.request.config)
    return CRITERIA[criterion](program, inputs.analysis, inputs.calibration(), options)


def _remembered(inputs: Inputs, criterion: str) -> dict[str, Tensor]:
    """Return the dense network's scores, measured once for all jobs that ask alike."""
    folder = inputs.request.cache_dir
    if folder is None:
        return score(inputs, inputs.program, criterion)
    key = saliency_key(inputs.request)
    found = recall_scores(folder, key)
    if found is None or found.keys() != {family.name for family in inputs.analysis.families}:
        found = score(inputs, inputs.program, criterion)
        remember_scores(folder, key, found)
    return found


def _refuse_if_frozen(inputs: Inputs) -> None:
    if inputs.analysis.families:
        return
    if not inputs.analysis.frozen:
        raise NothingPrunableError(
            "the network has no convolution or linear layer whose filters could be removed"
        )
    reasons = sorted({f"{f.tensor}: {f.pin.reason}" for f in inputs.analysis.frozen})
    raise NothingPrunableError(
        f"every layer of the network is frozen ({'; '.join(reasons[:_MAX_REASONS])})"
    )


def _trial(candidate: Candidate) -> CriterionTrial:
    metrics = candidate.metrics
    return CriterionTrial(
        criterion=candidate.criterion,
        validation_loss=finite(metrics.loss),
        validation_metric=finite(metrics.values[metrics.primary]),
        macs=candidate.macs,
        interval=doubt_report(metrics)["interval"],
    )
