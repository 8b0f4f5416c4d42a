"""Files of a fixed batch: made dynamic where samples are independent, else kept."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.errors import ModelRejectedError, ModelTooLargeError
from secateur.engine.graph import analyse
from secateur.engine.program.limits import ModelLimits
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.program.reader import read_program
from tests.fixtures.networks import randomise


class Net(nn.Module):
    """Convolution, a function of its result, and a linear layer on the last dimension."""

    def __init__(self, function: Callable[["Net", Tensor], Tensor], width: int = 8) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(width, 3)
        self.token = nn.Parameter(torch.ones(1, 1, 8))
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.function(self, torch.relu(self.stem(x))))
        return y


def tokens(net: Net, y: Tensor) -> Tensor:
    sequence = y.flatten(2).transpose(1, 2)
    token = net.token.expand(len(y), -1, -1)
    return torch.cat([token, sequence], 1)[:, 0]


def windows(_net: Net, y: Tensor) -> Tensor:
    """Return means of windows, as Swin splits and joins them."""
    n, c, h, w = y.shape
    parts = y.view(n, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, c)
    mixed = parts.view(n, 4, 4, c) + torch.arange(4.0).view(1, 4, 1, 1)
    joined = mixed.view(-1, 4, c).view(n, 2, 2, 2, 2, c)
    return joined.permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w).mean((2, 3))


def recurrent(net: Net, y: Tensor) -> Tensor:
    result: Tensor = net.lstm(y.mean(2).transpose(1, 2))[0][:, -1]
    return result


def written(_net: Net, y: Tensor) -> Tensor:
    z = torch.zeros(len(y), 8, 4, 4)
    z[:, :, 1:] = y[:, :, :-1]
    return z.mean((2, 3))


def read(net: nn.Module, batch: int, path: Path, limits: ModelLimits | None = None) -> Program:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.export.save(torch.export.export(net.eval(), (torch.randn(batch, 1, 4, 4),)), path)
    return read_program(path, limits)


@pytest.mark.parametrize("function", [tokens, windows, recurrent, written])
def test_a_batch_of_one_becomes_dynamic(
    function: Callable[[Net, Tensor], Tensor], tmp_path: Path
) -> None:
    net = randomise(Net(function))
    program = read(net, 1, tmp_path / "model.pt2")
    assert [spec.shape for spec in program.inputs] == [(None, 1, 4, 4)]
    x = torch.randn(5, 1, 4, 4)
    torch.testing.assert_close(ProgramModule(program).eval()(x), net(x))
    assert "stem.weight" in {family.name for family in analyse(program).families}


def test_a_larger_batch_becomes_dynamic(tmp_path: Path) -> None:
    net = randomise(Net(windows))
    program = read(net, 3, tmp_path / "model.pt2")
    x = torch.randn(5, 1, 4, 4)
    torch.testing.assert_close(ProgramModule(program).eval()(x), net(x))


def centred(_net: Net, y: Tensor) -> Tensor:
    return (y - 0.5 * y.mean(0, keepdim=True)).mean((2, 3))


def one_by_one(_net: Net, y: Tensor) -> Tensor:
    return torch.stack([sample.mean((1, 2)) for sample in y])


@pytest.mark.parametrize(
    ("function", "batch", "reason"),
    [
        (centred, 3, "output 0 of a sample depends on the others"),
        (one_by_one, 3, "output 0 does not have the batch as its first dimension"),
        (lambda _net, y: y[0].mean((1, 2)), 1, "does not have the batch as its first dimension"),
        (lambda _net, y: y.squeeze(0).mean((1, 2))[None], 1, "depends|made for a batch"),
    ],
    ids=["a mean over the batch", "a loop over samples", "the batch dropped", "the batch removed"],
)
def test_a_batch_that_cannot_be_made_dynamic_stays(
    function: Callable[[Net, Tensor], Tensor], batch: int, reason: str, tmp_path: Path
) -> None:
    net = randomise(Net(function))
    program = read(net, batch, tmp_path / "model.pt2")
    assert program.batch_size == batch
    assert re.search(reason, program.batch_note)
    x = torch.randn(2 * batch + 1, 1, 4, 4)
    filled = torch.cat([x, x])  # the last run is filled with the first samples
    runs = [net(part) for part in filled[: 3 * batch].split(batch)]
    expected = torch.cat([run.view(batch, 3) for run in runs])[: len(x)]
    (found,) = ProgramModule(program).eval().run((x,))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ProgramModule(program).eval()(x[:batch]), runs[0])


def test_several_samples_without_outputs_of_their_own_are_refused(tmp_path: Path) -> None:
    net = randomise(Net(lambda _net, y: y.mean((0, 2, 3))))
    with pytest.raises(ModelRejectedError, match="does not have the batch as its first") as error:
        read(net, 2, tmp_path / "model.pt2")
    assert "dynamic_shapes" in error.value.hint


def test_the_comparison_is_within_the_limits(tmp_path: Path) -> None:
    net, path = randomise(Net(lambda _net, y: y.mean((2, 3)))), tmp_path / "model.pt2"
    limits = ModelLimits(activation_bytes=100_000)
    read(net, 1, path, limits)
    with pytest.raises(ModelTooLargeError, match="bytes for its values"):
        read(net, 100, path, limits)
