"""Channels with a fixed meaning are frozen: classes, bins, thresholds, conditions.

The certificate cannot detect their loss, because the masked twin loses the same channels.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from secateur.engine.graph import Analysis, analyse
from secateur.engine.graph.meaning import BINS, CONSTANTS, COUNTED, NO_WEIGHTS
from secateur.engine.program.exported import export, from_exported

WIDTH, SIZE = 6, 4
POSITION = "is identified by its position"


class Scores(nn.Module):
    """Two convolutions and a function of the second's channels, with layers and buffers for it."""

    centres: Tensor
    projection: Tensor

    def __init__(self, function: Callable[["Scores", Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.scores = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, WIDTH, 1)
        self.register_buffer("centres", torch.linspace(0, 1, WIDTH).view(1, WIDTH, 1, 1))
        self.register_buffer("projection", torch.rand(WIDTH, 2))
        self.expectation = nn.Conv2d(WIDTH, 1, 1, bias=False).requires_grad_(requires_grad=False)
        self.slope = nn.Parameter(torch.rand(1, WIDTH, 1, 1))
        self.one, self.two, self.all = (nn.Conv2d(c, 2, 3, padding=1) for c in (1, 2, WIDTH))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, self.scores(F.relu(self.stem(x))))


def analysed(function: Callable[[Scores, Tensor], Tensor]) -> Analysis:
    exported = export(Scores(function), (torch.randn(2, 1, SIZE, SIZE),))
    return analyse(from_exported(exported))


def _by_hand(y: Tensor) -> Tensor:
    powers = y.exp()
    return powers / powers.sum(1, keepdim=True)


def _entropy(y: Tensor) -> Tensor:
    return -(y.softmax(1) * y.log_softmax(1)).sum(1, keepdim=True)


def _in_tokens(y: Tensor) -> Tensor:
    return y.flatten(2).transpose(1, 2)


def _as_image(tokens: Tensor) -> Tensor:
    image: Tensor = tokens.transpose(1, 2).unflatten(2, (SIZE, SIZE))
    return image


FIXED_MEANING: dict[str, tuple[Callable[[Scores, Tensor], Tensor], str]] = {
    "classes": (lambda _, y: y.argmax(1), POSITION),
    "the least class, over all dimensions": (lambda _, y: y.argmin(), POSITION),
    "classes from max": (lambda _, y: y.max(1).indices, POSITION),
    "classes that make a mask": (
        lambda n, y: n.all(y * (y.argmax(1, keepdim=True) > 2)),
        POSITION,
    ),
    "whether any holds": (lambda n, y: n.one((y > 0).any(1, keepdim=True).float()), POSITION),
    "whether all hold": (lambda _, y: (y > 0).all(1), POSITION),
    "how many thresholds are passed": (
        lambda n, y: n.one((y.sigmoid() > n.centres).float().sum(1, keepdim=True)),
        COUNTED,
    ),
    "how many are on": (
        lambda n, y: n.one(torch.where(y > 0, 1.0, 0.0).mean(1, keepdim=True)),
        COUNTED,
    ),
    "how many signs": (lambda n, y: n.one(y.sign().sum(1, keepdim=True)), COUNTED),
    "centres of bins": (lambda n, y: (y.softmax(1) * n.centres).sum(1), CONSTANTS),
    "centres of bins before weights": (
        lambda n, y: n.one((y.softmax(1) * n.centres).sum(1, keepdim=True)),
        CONSTANTS,
    ),
    "a stored projection": (
        lambda n, y: n.two(
            (_in_tokens(y) @ n.projection).transpose(1, 2).unflatten(2, (SIZE, SIZE))
        ),
        CONSTANTS,
    ),
    "a stored layer": (lambda n, y: F.linear(y.movedim(1, -1), n.projection.t()), CONSTANTS),
    "a stored einsum": (
        lambda n, y: torch.einsum("bchw,cd->bdhw", y.sigmoid(), n.projection),
        CONSTANTS,
    ),
    "a frozen convolution over bins": (lambda n, y: n.expectation(y.softmax(1)), BINS),
    "a frozen convolution over bins before weights": (
        lambda n, y: n.one(n.expectation(y.softmax(1))),
        BINS,
    ),
    "bins along a view": (
        lambda n, y: n.expectation(y.view(-1, 1, WIDTH, SIZE**2).transpose(2, 1).softmax(1)),
        BINS,
    ),
    "a handwritten softmax": (lambda n, y: n.expectation(_by_hand(y)), BINS),
    "entropy": (lambda n, y: n.one(_entropy(y)), BINS),
    "confidence": (lambda n, y: n.one(y.softmax(1).amax(1, keepdim=True)), BINS),
    "the sum of probabilities": (lambda _, y: y.sigmoid().sum(1), NO_WEIGHTS),
    "weighted by a parameter": (lambda n, y: (y.sigmoid() * n.slope).sum(1), NO_WEIGHTS),
    "energy": (lambda _, y: y.logsumexp(1), NO_WEIGHTS),
    "length": (lambda _, y: y.norm(dim=1), NO_WEIGHTS),
    "spread": (lambda _, y: y.std(1), NO_WEIGHTS),
    "similarity": (lambda _, y: (y * y.flip(2)).sum(1), NO_WEIGHTS),
    "similarity of positions": (lambda _, y: _in_tokens(y) @ y.flatten(2), NO_WEIGHTS),
    "a blurred mean": (
        lambda n, y: F.conv2d(
            y.mean(1, keepdim=True).expand(-1, WIDTH, -1, -1), n.slope.transpose(0, 1), groups=6
        ),
        NO_WEIGHTS,
    ),
    "a running sum": (lambda n, y: n.all(y.softmax(1).cumsum(1)), "is summed cumulatively"),
}


@pytest.mark.parametrize(("function", "reason"), FIXED_MEANING.values(), ids=FIXED_MEANING.keys())
def test_channels_with_a_fixed_meaning_are_frozen(
    function: Callable[[Scores, Tensor], Tensor], reason: str
) -> None:
    analysis = analysed(function)
    frozen = {f.tensor: f for f in analysis.frozen}
    assert frozen["scores.weight"].num_channels == WIDTH
    assert frozen["scores.weight"].pin.reason == reason
    assert "test_meaning.py" in frozen["scores.weight"].pin.source
    cut = {member.tensor for family in analysis.families for member in family.members}
    assert "stem.weight" in cut  # the layer before is prunable
    assert "centres" not in cut


HIDDEN: dict[str, tuple[Callable[[Scores, Tensor], Tensor], bool]] = {
    "mean and maximum before weights, as in CBAM": (
        lambda n, y: n.two(torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)),
        False,
    ),
    "the value of max": (lambda n, y: n.one(y.max(1, keepdim=True).values), False),
    "length one": (lambda n, y: n.all(F.normalize(y, dim=1)), True),
    "scaled by a mean over channels": (
        lambda n, y: n.all(y / (y.abs().mean(1, keepdim=True) + 1)),
        False,
    ),
    "attention between channels": (
        lambda n, y: n.all(
            ((y.flatten(2) @ _in_tokens(y)).softmax(-1) @ y.flatten(2)).unflatten(2, (SIZE, SIZE))
        ),
        False,
    ),
    "attention between positions": (
        lambda n, y: n.all(
            _as_image((_in_tokens(y) @ y.flatten(2)).softmax(-1) @ _in_tokens(y)),
        ),
        True,
    ),
    "a stored number for each channel": (lambda n, y: n.all(y * n.centres + n.centres), True),
    "the largest position": (
        lambda n, y: n.all(y * (y.flatten(2).argmax(2)[:, :, None, None] > 3)),
        True,
    ),
}


@pytest.mark.parametrize(("function", "is_exact"), HIDDEN.values(), ids=HIDDEN.keys())
def test_channels_contracted_by_trained_weights_are_prunable(
    function: Callable[[Scores, Tensor], Tensor], *, is_exact: bool
) -> None:
    family = analysed(function).family("scores.weight")
    assert family.num_groups == WIDTH
    assert family.is_exact == is_exact
