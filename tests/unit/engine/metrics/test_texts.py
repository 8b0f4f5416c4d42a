"""Metrics of texts, against plain definitions."""

from functools import cache

import numpy as np
import pytest
import torch

from app.contracts.decoding.texts import decode_texts
from secateur.engine.errors import DataError
from secateur.engine.metrics import SCORINGS, Reading
from secateur.engine.metrics.texts import edits, greedy
from secateur.engine.objectives.ctc import ctc_loss


def by_definition(found: tuple[int, ...], truth: tuple[int, ...]) -> int:
    @cache
    def cost(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        same = cost(i - 1, j - 1) + (found[i - 1] != truth[j - 1])
        return min(same, cost(i - 1, j) + 1, cost(i, j - 1) + 1)

    return cost(len(found), len(truth))


def test_edits_are_counted_as_defined() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        a, b = (draw.integers(0, 3, draw.integers(0, 7)).tolist() for _ in range(2))
        assert edits(a, b) == by_definition(tuple(a), tuple(b))


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("axis", [1, 2])
def test_training_and_serving_decode_alike(axis: int, is_first: bool) -> None:
    output = torch.randn(20, 9, 4, generator=torch.Generator().manual_seed(1))
    output = output if axis == 2 else output.transpose(1, 2)
    served = decode_texts(output.numpy(), axis, "first" if is_first else "last")
    assert [line.classes for line in served] == greedy(output, axis, is_blank_first=is_first)


def test_repeats_merge_and_blanks_part() -> None:
    path = [0, 1, 1, 0, 1, 2, 2, 0]
    output = torch.nn.functional.one_hot(torch.tensor([path]), 3).float()
    assert greedy(output, 2, is_blank_first=True) == [[0, 0, 1]]


def test_lines_and_characters_are_counted() -> None:
    make = SCORINGS["texts"].tally
    assert make is not None
    tally = make("none", Reading())
    paths = torch.tensor([[1, 0, 2, 0], [1, 0, 0, 0]])
    output = torch.nn.functional.one_hot(paths, 3).float() * 9
    tally.add([output], torch.tensor([[0, 1, -1], [0, 1, 1]]), [output])
    assert tally.values(2) == {"exact": 0.5, "cer": 2 / 5}
    assert tally.doubt(2).change is not None


@pytest.mark.parametrize("is_first", [True, False])
def test_probabilities_and_logits_have_the_same_loss(is_first: bool) -> None:
    logits = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 3, -1], [1, -1, -1], [2, 2, 0]])
    losses = [
        float(ctc_loss(each, labels, is_blank_first=is_first))
        for each in (logits, logits.softmax(2), logits.log_softmax(2))
    ]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-4)


def test_a_character_without_a_class_is_named() -> None:
    with pytest.raises(DataError, match="a text has character 4, the network scores 4 characters"):
        ctc_loss(torch.zeros(1, 5, 5), torch.tensor([[4]]))
