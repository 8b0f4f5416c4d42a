"""Metrics of masks, against sets of pixels."""

import numpy as np
import pytest
import torch

from secateur.engine.errors import DataError
from secateur.engine.metrics import SCORINGS, Reading
from secateur.engine.metrics.scoring import Tally
from secateur.engine.objectives.dice import IGNORED


def tally(kind: str = "none") -> Tally:
    make = SCORINGS["masks"].tally
    assert make is not None
    return make(kind, Reading())  # type: ignore[arg-type]


def by_sets(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return mIoU and Dice from sets of pixels."""
    counted = {place for place in np.ndindex(truth.shape) if truth[place] != IGNORED}
    ious, dices = [], []
    for number in range(4):
        ours = {place for place in counted if found[place] == number}
        theirs = {place for place in counted if truth[place] == number}
        if ours | theirs:
            ious.append(len(ours & theirs) / len(ours | theirs))
            dices.append(2 * len(ours & theirs) / (len(ours) + len(theirs)))
    return float(np.mean(ious)), float(np.mean(dices))


@pytest.mark.parametrize("seed", range(5))
def test_overlaps_are_those_of_sets_of_pixels(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randn(6, 4, 5, 7, generator=draw)
    truth = torch.randint(0, 4, (6, 5, 7), generator=draw)
    truth[torch.rand(truth.shape, generator=draw) < 0.1] = IGNORED
    found = tally()
    found.add([scores[:2]], truth[:2].to(torch.uint8), [])
    found.add([scores[2:]], truth[2:].to(torch.uint8), [])
    wanted = by_sets(scores.argmax(1).numpy(), truth.numpy())
    assert (found.values(6)["miou"], found.values(6)["dice"]) == pytest.approx(wanted)


@pytest.mark.parametrize(("kind", "scores"), [("none", [-1.0, 2.0]), ("sigmoid", [0.2, 0.9])])
def test_one_channel_tells_two_classes_apart(kind: str, scores: list[float]) -> None:
    found = tally(kind)
    output = torch.tensor(scores).view(1, 1, 1, 2)
    found.add([output], torch.tensor([[[0, 1]]], dtype=torch.uint8), [])
    assert found.values(1)["miou"] == 1.0
    assert found.loss(1) < 0.4


def test_a_smaller_map_is_compared_in_the_size_of_the_mask() -> None:
    scores = torch.tensor([[0.0, 9.0], [9.0, 0.0]]).view(1, 2, 1, 2)
    truth = torch.tensor([[[1, 1, 0, 0], [1, 1, 0, 0]]], dtype=torch.uint8)
    found = tally()
    found.add([scores], truth, [])
    assert found.values(1)["miou"] == 1.0


def test_a_class_without_a_channel_is_named() -> None:
    truth = torch.full((1, 2, 2), 3, dtype=torch.uint8)
    with pytest.raises(DataError, match="a mask has class 3, the network scores 2 classes"):
        tally().add([torch.zeros(1, 2, 2, 2)], truth, [])


def test_a_worse_network_differs_measurably() -> None:
    truth = torch.randint(0, 2, (30, 4, 4), generator=torch.Generator().manual_seed(0))
    right = torch.nn.functional.one_hot(truth, 2).permute(0, 3, 1, 2).float()
    found = tally()
    found.add([torch.zeros_like(right)], truth.to(torch.uint8), [right])
    doubt = found.doubt(30)
    assert doubt.change is not None
    assert doubt.change.high < 0
    names = {each.number: each.intervals["miou"] for each in found.by_class(30)}
    assert names[0][0] < found.by_class(30)[0].values["miou"] < names[0][1]
