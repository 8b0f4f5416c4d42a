"""Spearman's rho, and how criteria agree with the exact loss."""

import pytest
import torch
from torch import nn

from secateur.engine.graph import analyse
from secateur.engine.program.exported import export, from_exported
from secateur.engine.saliency import (
    CRITERIA,
    CalibrationBatch,
    SaliencyOptions,
    agreement_with_loss,
    spearman,
)
from secateur.engine.saliency.agreement import mean_spearman
from tests.fixtures.networks import small_program


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        # Spearman's textbook case: 1 - 6 * sum(d^2) / (n * (n^2 - 1)), d = (1, 1, 0, 1, 1).
        ([1, 2, 3, 4, 5], [2, 1, 3, 6, 4.5], 0.8),
        ([1, 2, 2, 3], [1, 2, 3, 4], 0.9486832980505138),  # ties share the mean rank
        ([5, 5, 5], [1, 2, 3], 0.0),
    ],
)
def test_spearman(a: list[float], b: list[float], expected: float) -> None:
    found = spearman(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
    assert found == pytest.approx(expected)


def test_families_weigh_by_their_groups() -> None:
    up, down = torch.arange(3.0), torch.arange(9.0)
    found = mean_spearman({"a": up, "b": down}, {"a": up, "b": -down})
    assert found == pytest.approx((3 - 9) / 12)


def test_on_a_trained_network_taylor_agrees_with_the_loss_and_random_does_not() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4),
    )  # fmt: skip
    torch.manual_seed(0)
    y = torch.arange(256) % 4
    x = torch.randn(256, 1, 8, 8) + torch.eye(8).roll(1, 0) * y.view(-1, 1, 1, 1)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    program = from_exported(export(net, (x[:2],)))
    found = agreement_with_loss(
        program, analyse(program), (CalibrationBatch((x,), y),), SaliencyOptions()
    )
    assert set(found) == {name for name, each in CRITERIA.items() if each.is_cheap}
    assert all(-1 <= rho <= 1 for rho in found.values())
    assert found["taylor"] > 0.5
    assert found["taylor"] > found["random"]


def test_without_labels_taylor_is_left_out() -> None:
    program = small_program()
    batch = CalibrationBatch((torch.randn(8, 1, 8, 8),))
    found = agreement_with_loss(program, analyse(program), (batch,), SaliencyOptions())
    assert "taylor" not in found
    assert "l1" in found
