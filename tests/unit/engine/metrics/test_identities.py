"""Recall at k, against a plain loop; the loss of embeddings."""

import numpy as np
import pytest
import torch

from secateur.engine.errors import DataError
from secateur.engine.metrics import PLAIN
from secateur.engine.metrics.identities import IDENTITIES, recalled
from secateur.engine.objectives import OBJECTIVES, Answers, ObjectiveOptions


def naive(vectors: torch.Tensor, labels: torch.Tensor, most: int) -> float:
    asked = found = 0
    for n, (own, label) in enumerate(zip(vectors, labels, strict=True)):
        others = [k for k in range(len(vectors)) if k != n]
        if not any(labels[k] == label for k in others):
            continue
        asked += 1
        likeness = [float(own @ vectors[k] / own.norm() / vectors[k].norm()) for k in others]
        nearest = [others[k] for k in np.argsort(likeness)[::-1][:most]]
        found += any(labels[k] == label for k in nearest)
    return found / asked


@pytest.mark.parametrize("seed", range(5))
def test_recall_is_that_of_a_plain_loop(seed: int) -> None:
    torch.manual_seed(seed)
    labels = torch.cat([torch.randint(8, (40,)), torch.tensor([99])])  # one has no other sample
    vectors = torch.randn(41, 6) + 0.8 * torch.nn.functional.one_hot(labels % 6, 6)
    vectors *= torch.rand(41, 1) + 0.1  # lengths do not matter
    assert IDENTITIES.tally is not None
    tally = IDENTITIES.tally("none", PLAIN)
    for x, y in zip(vectors.split(16), labels.split(16), strict=True):
        tally.add([x], y, [x])
    values, doubt = tally.values(41), tally.doubt(41)
    assert values["recall1"] == pytest.approx(naive(vectors, labels, 1))
    assert values["recall5"] == pytest.approx(naive(vectors, labels, 5))
    assert values["recall1"] < values["recall5"]
    assert doubt.interval is not None
    assert doubt.interval[0] < values["recall1"] < doubt.interval[1]
    assert doubt.change is not None
    assert (doubt.change.difference, doubt.change.num_lost) == (0, 0)
    assert tally.loss(41) == pytest.approx(0, abs=1e-6)


def test_identities_that_occur_once_have_no_recall() -> None:
    assert recalled(torch.randn(3, 4), torch.arange(3), 5).shape == (0, 5)
    assert IDENTITIES.tally is not None
    tally = IDENTITIES.tally("none", PLAIN)
    tally.add([torch.randn(3, 4)], torch.arange(3), [])
    assert tally.values(3)["recall1"] == 0
    assert tally.doubt(3).interval is None


def test_recall_without_identities_is_refused() -> None:
    assert IDENTITIES.tally is not None
    with pytest.raises(DataError, match="recall needs identities"):
        IDENTITIES.tally("none", PLAIN).add([torch.randn(3, 4)], None, [])


def test_the_loss_of_embeddings_is_their_angle() -> None:
    found, taught = torch.randn(4, 8), torch.randn(4, 8)
    answers = Answers([3 * found], None, [taught], "none", (1.0,))
    loss = OBJECTIVES["distill_cosine"].loss(answers, ObjectiveOptions("distill_cosine"))
    wanted = [1 - float(a @ b / a.norm() / b.norm()) for a, b in zip(found, taught, strict=True)]
    assert float(loss) == pytest.approx(np.mean(wanted), abs=1e-6)
