"""Which network is kept, and why."""

from types import MappingProxyType

from secateur.engine.metrics import Metrics
from tests.unit.engine.retrain.networks import small_program
from worker.pipeline.job.kept import Candidate, What, keep_best

PROGRAM = small_program()


def candidate(
    what: What,
    top1: float | None,
    loss: float = 1.0,
    epoch: int = 0,
    metric: str = "top1",
) -> Candidate:
    values = MappingProxyType({metric: top1 or 0.0})
    metrics = Metrics(loss, 320, values, metric) if top1 is not None else None
    return Candidate(what, PROGRAM, metrics, epoch)


def test_the_best_on_the_validation_samples_is_kept_and_the_earliest_of_equals() -> None:
    pruned, recalibrated = candidate("pruned", 0.1), candidate("recalibrated", 0.78)
    trained = candidate("epoch", 0.8225, epoch=2)
    kept = keep_best((pruned, recalibrated, trained), 3)
    assert kept.chosen is trained
    assert kept.finding is None
    assert kept.reason == (
        "epoch 2 has the best top1 on 320 validation samples, 0.8225; the pruned network has "
        "0.1000, the recalibrated network has 0.7800"
    )
    even = keep_best((recalibrated, candidate("epoch", 0.78, epoch=1)), 3)
    assert even.chosen is recalibrated
    by_loss = keep_best((recalibrated, candidate("epoch", 0.78, loss=0.9, epoch=1)), 3)
    assert by_loss.chosen.epoch == 1
    assert "with the lower loss" in by_loss.reason


def test_training_that_did_not_help_gives_a_finding() -> None:
    kept = keep_best((candidate("recalibrated", 0.78), candidate("epoch", 0.4075, epoch=1)), 2)
    assert kept.chosen.what == "recalibrated"
    assert kept.finding is not None
    assert (kept.finding.code, kept.finding.severity) == ("training_did_not_help", "serious")
    assert "0.7800" in kept.finding.message
    assert "0.4075" in kept.finding.message
    report = kept.report()
    assert (report.what, report.epoch, report.value) == ("recalibrated", None, 0.78)
    assert [each.value for each in report.candidates] == [0.78, 0.4075]
    untrained = keep_best((candidate("pruned", 0.5), candidate("recalibrated", 0.6)), 0)
    assert untrained.finding is None


def test_a_repaired_network_that_training_did_not_improve_is_kept_and_no_cause_for_alarm() -> None:
    kept = keep_best((candidate("repaired", 0.9), candidate("epoch", 0.89, epoch=1)), 1)
    assert kept.chosen.what == "repaired"
    assert kept.finding is not None
    assert (kept.finding.code, kept.finding.severity) == ("training_did_not_help", "notice")
    assert "the repaired network has the best top1" in kept.finding.message
    assert keep_best((candidate("repaired", 0.9),), 0).finding is None


def test_lower_errors_rank_first_and_values_that_are_not_finite_last() -> None:
    errors = [candidate("recalibrated", 3.0, metric="mean_error"),
              candidate("epoch", 2.0, metric="mean_error", epoch=1)]  # fmt: skip
    assert keep_best(errors, 1).chosen.epoch == 1
    broken = candidate("epoch", 0.99, loss=float("nan"), epoch=1)
    assert keep_best((candidate("recalibrated", 0.1), broken), 1).chosen.what == "recalibrated"


def test_without_validation_samples_the_last_network_is_kept_with_a_note() -> None:
    kept = keep_best((candidate("recalibrated", None), candidate("epoch", None, epoch=3)), 3)
    assert kept.chosen.epoch == 3
    assert "without validation samples" in kept.reason
    assert kept.finding is None
