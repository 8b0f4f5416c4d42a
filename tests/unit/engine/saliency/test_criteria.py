"""Every criterion: what it needs, and that it scores every group."""

import pytest
import torch

from secateur.engine.errors import DataError
from secateur.engine.saliency import CRITERIA, CalibrationBatch
from tests.unit.engine.saliency.networks import ANALYSIS, OPTIONS, PROGRAM, calibration, scores


@pytest.mark.parametrize("kind", [n for n, each in CRITERIA.items() if each.needs != "weights"])
def test_a_criterion_that_needs_samples_says_so(kind: str) -> None:
    with pytest.raises(DataError, match=f"{kind}' needs .*calibration samples"):
        CRITERIA[kind](PROGRAM, ANALYSIS, None, OPTIONS)


@pytest.mark.parametrize("kind", [n for n, each in CRITERIA.items() if each.needs == "classes"])
def test_a_criterion_that_needs_labels_says_so(kind: str) -> None:
    unlabelled = CalibrationBatch(calibration().inputs)
    with pytest.raises(DataError, match=f"{kind}' needs labelled calibration samples"):
        CRITERIA[kind](PROGRAM, ANALYSIS, (unlabelled,), OPTIONS)


@pytest.mark.parametrize("kind", CRITERIA)
def test_every_criterion_scores_every_group_with_finite_numbers(kind: str) -> None:
    found = scores(kind)
    assert {n: len(s) for n, s in found.items()} == {
        f.name: f.num_groups for f in ANALYSIS.families
    }
    assert all(bool(torch.isfinite(s).all()) for s in found.values())
