"""Saliency: score every channel group."""

from app.contracts.report import CriterionTrial
from secateur.engine.errors import DataError, NothingPrunableError
from secateur.engine.saliency import agreement_with_loss
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.metrics import doubt_report, finite
from worker.pipeline.job.options import saliency_options
from worker.pipeline.job.results import Scores
from worker.pipeline.scoring.bakeoff import Candidate, bake_off
from worker.pipeline.scoring.scores import score_dense

_MAX_REASONS = 3


def measure_saliency(inputs: Inputs) -> Scores:
    """Return the scores of every family and, on request, each criterion's agreement with the loss.

    Raises:
        NothingPrunableError: The network has no prunable channel group.
        DataError: The criterion needs data and there is none.
    """
    _refuse_if_frozen(inputs)
    config = inputs.request.config
    if config.criterion.kind == "auto":
        best, all_tried = bake_off(inputs)
        trials = tuple(_trial(candidate) for candidate in all_tried)
        found = Scores(best.scores, best.criterion, trials)
    else:
        found = Scores(score_dense(inputs, config.criterion.kind), config.criterion.kind)
    if not config.criterion.compare:
        return found
    if inputs.dataset is None:
        raise DataError("criterion.compare needs a data set")
    options, there = saliency_options(config), inputs.on_device(inputs.program)

    def compare(size: int) -> dict[str, float]:
        batches = inputs.calibration(size) or ()
        return agreement_with_loss(there, inputs.analysis, batches, options)

    agreement = inputs.batches.run("saliency", config.criterion.num_samples, compare)
    return Scores(found.by_family, found.criterion, found.trials, agreement)


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
