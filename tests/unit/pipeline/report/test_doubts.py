"""Notes about noise, load, few samples, and promises kept within the noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.contracts.report import (
    AccuracyTrial,
    BaselineReport,
    LoadReport,
    MetricsReport,
    SpeedupReport,
)
from app.contracts.spec import PruneConfig
from tests.fixtures.reports import body, history, metrics, speedup
from tests.unit.pipeline.data.files import npz, opened
from worker.pipeline.job.results import Times
from worker.pipeline.report.doubts import (
    baseline_notes,
    latency_budget_notes,
    latency_notes,
    promise_notes,
    sample_notes,
    without_repeats,
)

PROMISED = body()


def times(*speedups: dict[str, Any], busy: bool | None = False, reason: str = "") -> Times:
    found = tuple(SpeedupReport.model_validate(each) for each in speedups)
    return Times(found, LoadReport(is_busy=busy, reason=reason, num_busy_processors=None))


@pytest.mark.parametrize(
    ("ratio", "spread", "text"),
    [
        (1.9, 1.1, "1.9x (1.7 to 2.1)"),
        (1.05, 1.1, "no measurable difference"),
        (1.21, 1.04, "1.21x (1.16 to 1.26)"),
        (14.2, 1.1, "14x (13 to 16)"),
    ],
)
def test_a_ratio_is_shown_with_its_interval(ratio: float, spread: float, text: str) -> None:
    assert SpeedupReport.model_validate(speedup(1, ratio, spread)).text == text


def test_a_slowdown_is_reported() -> None:
    slower = speedup(1, 0.5) | {"is_measurable": True}
    assert SpeedupReport.model_validate(slower).text == "0.50x (0.45 to 0.55), slower"


def test_a_missing_speedup_gets_a_note() -> None:
    assert latency_notes(times(speedup(1, 1.5), speedup(8, 1.2))) == ()
    [note] = latency_notes(times(speedup(1, 1.5), speedup(8, 1.02)))
    assert note.startswith("pruning did not make it faster")
    assert note.endswith("(latency at batch 8: no measurable difference)")


def test_load_is_reported_only_if_known() -> None:
    [note] = latency_notes(times(speedup(1, 1.5), busy=True, reason="all were busy"))
    assert note.startswith("latency was measured under load: all were busy")
    assert latency_notes(times(speedup(1, 1.5), busy=None)) == ()


def test_a_latency_budget_that_noise_may_have_met() -> None:
    def selection(share: float) -> Any:
        config = {"selection": {"mode": "budget", "latency": share}}
        return PruneConfig.model_validate(config).selection

    assert latency_budget_notes(selection(0.8), times(speedup(1, 1.5))) == ()
    [note] = latency_budget_notes(selection(0.7), times(speedup(1, 1.5)))
    assert "0.667 (0.606 to 0.733)" in note
    assert latency_budget_notes(PruneConfig().selection, times(speedup(1, 1.5))) == ()


def test_few_samples_get_a_note() -> None:
    few = MetricsReport.model_validate(metrics(0.9) | {"num_samples": 64})
    [note] = sample_notes("top1", [few])
    assert note == (
        "the test split has only 64 samples: top1 is known to lie between 0.87 and 0.92, no closer"
    )
    [same] = sample_notes("miou", [few.model_copy(update={"interval": (1.0, 1.0)})])
    assert same.endswith("64 samples: they agree on miou, and are too few to know it for others")
    many = MetricsReport.model_validate(metrics(0.9))
    unknown = few.model_copy(update={"interval": None})
    assert sample_notes("top1", [many, unknown]) == ()


def test_few_validation_samples_are_told_once(tmp_path: Path) -> None:
    x, y = np.arange(80, dtype=np.uint8).reshape(40, 2), np.arange(40) % 2
    dataset = opened(tmp_path, npz(x=x, y=y, split=y))
    [told] = [note for note in dataset.notes if "only 20 validation samples" in note]
    few = MetricsReport.model_validate(metrics(0.9, split="validation") | {"num_samples": 20})
    sampled = sample_notes("top1", [few])
    assert without_repeats(["other", told], sampled, dataset) == ("other",)
    unknown = sample_notes("top1", [few.model_copy(update={"interval": None})])
    assert without_repeats(["other", told], unknown, dataset) == ("other", told)
    as_numbers = dataset.labels_as("numbers")  # the note was written before
    assert without_repeats([told], sampled, as_numbers) == ()


def test_a_promise_kept_within_the_noise_is_marked() -> None:
    trials = PROMISED["accuracy_trials"]
    selection = PruneConfig.model_validate(PROMISED["config"]).selection
    [note] = promise_notes(selection, [AccuracyTrial.model_validate(each) for each in trials])
    assert "max_drop 0.02 is kept" in note
    assert "between -0.0050 and 0.0250" in note
    sure = AccuracyTrial.model_validate(trials[0] | {"drop_interval": [-0.005, 0.015]})
    assert promise_notes(selection, [sure]) == ()


def test_a_promise_kept_without_training_is_stated() -> None:
    selection = PruneConfig.model_validate(PROMISED["config"]).selection
    first = PROMISED["accuracy_trials"][0]
    trained = AccuracyTrial.model_validate(first | {"drop_interval": None})
    repaired = trained.model_copy(update={"is_trained": False})
    [note] = promise_notes(selection, [repaired])
    assert "max_drop 0.02 is kept without training" in note
    assert promise_notes(selection, [repaired, trained]) == (), "the trained network is the result"


def test_a_baseline_within_the_doubt_did_as_well() -> None:
    def noted(top1: float) -> tuple[str, ...]:
        found = BaselineReport.model_validate(
            {"kind": "random", "metrics": [metrics(top1)], "history": history(0.8),
             "learning_rate": 0.1}
        )  # fmt: skip
        return baseline_notes("top1", (MetricsReport.model_validate(metrics(0.91)),), (found,))

    assert noted(0.80) == ()
    [note] = noted(0.90)
    assert note.endswith("top1 0.9000 against 0.9100 on the test split: no measurable difference")
    [note] = noted(0.99)
    assert "did as well" in note
    assert "measurable" not in note
