"""The criteria beyond the patent against their definitions, written out naively."""

from typing import get_args

import pytest
import torch

from app.contracts.spec import NEED_DATA, CriterionSpec
from secateur.engine.errors import DataError
from secateur.engine.graph import MemberRole, analyse
from secateur.engine.program.module import ProgramModule
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from tests.fixtures.networks import small_program

PROGRAM = small_program()
ANALYSIS = analyse(PROGRAM)
OPTIONS = SaliencyOptions(normalization="none")


def calibration(num_samples: int = 16) -> CalibrationBatch:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(num_samples, 1, 8, 8, generator=generator)
    return CalibrationBatch((x,), torch.arange(num_samples) % 4)


def scores(kind: str, num_samples: int = 16) -> dict[str, torch.Tensor]:
    return CRITERIA[kind](PROGRAM, ANALYSIS, (calibration(num_samples),), OPTIONS)


def filters() -> torch.Tensor:
    return PROGRAM.tensors["conv3.weight"].double().flatten(1)


def test_the_config_offers_exactly_the_criteria_that_exist() -> None:
    offered = set(get_args(CriterionSpec.model_fields["kind"].annotation))
    assert offered == {*CRITERIA, "auto"}, "auto is the pipeline's: it tries the others"
    assert offered >= NEED_DATA


@pytest.mark.parametrize("kind", sorted(NEED_DATA - {"auto"}))
def test_a_criterion_that_needs_samples_says_so(kind: str) -> None:
    with pytest.raises(DataError, match=kind):
        CRITERIA[kind](PROGRAM, ANALYSIS, None, OPTIONS)


@pytest.mark.parametrize("kind", CRITERIA)
def test_every_criterion_scores_every_group_with_finite_numbers(kind: str) -> None:
    found = scores(kind)
    assert {n: len(s) for n, s in found.items()} == {
        f.name: f.num_groups for f in ANALYSIS.families
    }
    assert all(bool(torch.isfinite(s).all()) for s in found.values())


def test_geometric_median_is_the_summed_distance_to_all_filters() -> None:
    expected = [sum(float((a - b).norm()) for b in filters()) for a in filters()]
    found = scores("geometric_median")["conv3.weight"]
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-6)


def test_lamp_is_the_share_of_what_is_not_smaller() -> None:
    squares = filters().square().sum(1).tolist()
    expected = [s / sum(other for other in squares if other >= s) for s in squares]
    found = scores("lamp")["conv3.weight"]
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9)
    assert float(found.max()) == pytest.approx(1.0)


def test_bn_scale_is_the_magnitude_of_the_scale() -> None:
    expected = PROGRAM.tensors["bn3.weight"].double().abs()
    assert torch.equal(scores("bn_scale")["conv3.weight"], expected)


def test_taylor_is_the_slope_of_the_loss_when_a_channel_fades() -> None:
    """Scale what the readers read of a channel by 1 ± h: the slope is the estimate."""
    found = scores("taylor")  # one chunk of 16 samples
    batch = calibration()
    step = 1e-4
    for family in ANALYSIS.families:
        for group in (0, family.num_groups - 1):
            losses = []
            for factor in (1 + step, 1 - step):
                tensors = {k: t.double() for k, t in PROGRAM.tensors.items()}
                for member in family.members:
                    if member.role is MemberRole.CONSUMER:
                        scaled = tensors[member.tensor].clone()
                        index = member.index_GK[group]
                        part = scaled.index_select(member.dim, index) * factor
                        tensors[member.tensor] = scaled.index_copy(member.dim, index, part)
                module = ProgramModule(PROGRAM.with_tensors(tensors)).eval()
                with torch.no_grad():
                    logits = module.run((batch.inputs[0].double(),))[0]
                losses.append(torch.nn.functional.cross_entropy(logits, batch.labels))
            slope = float(losses[0] - losses[1]) / (2 * step)
            assert float(found[family.name][group]) == pytest.approx(abs(slope), rel=1e-2, abs=1e-5)


def test_taylor_correlates_with_the_exact_ablation() -> None:
    exact = torch.cat([s.abs() for s in scores("loss", 64).values()])
    estimate = torch.cat(list(scores("taylor", 64).values()))
    ranks = torch.stack([exact.argsort().argsort(), estimate.argsort().argsort()]).double()
    assert float(torch.corrcoef(ranks)[0, 1]) > 0.5  # Spearman's rho
