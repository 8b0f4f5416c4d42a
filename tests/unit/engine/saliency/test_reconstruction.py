"""Compared with a plain reference: regress the readers' outputs on the kept channels, greedily."""

import pytest
import torch
from torch import nn

from secateur.engine.graph import analyse
from secateur.engine.program.exported import export, from_exported
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from secateur.engine.saliency.reconstruction import eliminate
from tests.unit.engine.saliency.networks import branches

RIDGE = 1e-3


def eliminated(products: list[torch.Tensor], grams: list[torch.Tensor]) -> torch.Tensor:
    """Return the errors that groups add, by solving for the map of channels at every step."""
    num = len(grams[0])
    kept, errors = list(range(num)), torch.zeros(num, dtype=torch.float64)
    total = highest = 0.0
    while kept:
        costs = []
        for group in kept:
            others, cost = [each for each in kept if each != group], 0.0
            for product, gram in zip(products, grams, strict=True):
                ridged = gram + RIDGE * gram.diagonal().mean() * torch.eye(num)
                rest = ridged
                if others:
                    part = ridged[:, others]
                    rest = ridged - part @ torch.linalg.solve(part[others], part.T)
                cost += float((product * rest).sum() / (product * gram).sum())
            costs.append(cost)
        lowest = min(costs)
        highest = max(highest, lowest - total)
        errors[kept.pop(costs.index(lowest))] = highest
        total = lowest
    return errors


def moments(x: torch.Tensor) -> torch.Tensor:
    """Return the covariance of the columns of ``x`` (rows, channels)."""
    x = x.double() - x.double().mean(0)
    return x.T @ x / len(x)


@pytest.mark.parametrize("seed", range(3))
def test_the_scores_are_the_errors_that_remain_when_others_stand_in(seed: int) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.ReLU(),
                        nn.Flatten(), nn.Linear(5 * 16, 3)).eval()  # fmt: skip
    x = torch.randn(40, 2, 8, 8)
    program = from_exported(export(net, (x[:2],)))
    analysis = analyse(program)
    found = CRITERIA["reconstruction"](
        program, analysis, (CalibrationBatch((x,)),), SaliencyOptions()
    )
    with torch.no_grad():
        hidden = net[1](net[0](x))
        last = net[3](net[2](hidden)).flatten(2)
    taps = net[2].weight.detach().double().movedim(1, 0).flatten(1)
    columns = net[5].weight.detach().double().view(3, 5, 16).movedim(1, 0).flatten(1)
    for name, rows, weight in (
        ("0.weight", hidden.movedim(1, -1).flatten(0, 2), taps),
        ("2.weight", last.movedim(1, -1).flatten(0, 1), columns),
    ):
        expected = eliminated([weight @ weight.T], [moments(rows)])
        torch.testing.assert_close(found[name], expected, rtol=1e-6, atol=1e-9)


def test_a_copy_of_another_channel_costs_nothing_once_and_a_dead_one_never_anything() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.AdaptiveAvgPool2d(1),
                        nn.Flatten(), nn.Linear(4, 2)).eval()  # fmt: skip
    with torch.no_grad():
        net[0].weight[4] = 2 * net[0].weight[1]
        net[0].bias[4] = 2 * net[0].bias[1]
        net[0].weight[2], net[0].bias[2] = 0.0, -1.0
    x = torch.randn(64, 1, 8, 8)
    program = from_exported(export(net, (x[:2],)))
    scores = CRITERIA["reconstruction"](
        program, analyse(program), (CalibrationBatch((x,)),), SaliencyOptions()
    )["0.weight"]
    assert set(scores.argsort()[:2].tolist()) in ({2, 1}, {2, 4}), "the dead one, one of the pair"
    assert float(scores.sort().values[1]) < 1e-2 < float(scores.sort().values[2])
    assert float(scores.sum()) == pytest.approx(1.0, abs=0.1), "shares of one reader's energy"


def test_every_reader_of_a_residual_stream_counts() -> None:
    program, analysis = branches()
    x = torch.randn(32, 1, 6, 6)
    scores = CRITERIA["reconstruction"](
        program, analysis, (CalibrationBatch((x,)),), SaliencyOptions()
    )
    stem = scores["stem.weight"]  # read by the inner convolution and by the linear layer
    assert float(stem.sum()) == pytest.approx(2.0, abs=0.3)
    assert float(scores["side.weight"].sum()) == pytest.approx(1.0, abs=0.3)


def test_many_groups_are_eliminated_in_blocks() -> None:
    torch.manual_seed(0)
    num = 70  # more than a block
    weights, mixed = torch.randn(1, num, 9).double(), torch.randn(300, num).double()
    gram = moments(mixed @ torch.randn(num, num).double())
    products = weights @ weights.mT
    expected = eliminated([products[0]], [gram])
    torch.testing.assert_close(eliminate(products, gram[None]), expected, rtol=1e-7, atol=1e-12)
