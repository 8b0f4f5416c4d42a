import pytest
import torch

from secateur.engine.graph import MemberRole
from secateur.engine.program.module import ProgramModule
from tests.unit.engine.saliency.networks import ANALYSIS, PROGRAM, calibration, scores


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
