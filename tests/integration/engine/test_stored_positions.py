"""Channels that a stored list reorders, as channel shuffles do, are pruned, and the list with them.

The list may be a buffer, a constant of the code, a range, or the positions of an ONNX Gather.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import secateur
from secateur.engine import ProgramModule, analyse, compact, make_plan
from secateur.engine.program.exported import from_module
from secateur.engine.surgery.mask import expand_program, mask_program
from secateur.torch import load_pruned
from tests.fixtures.networks import randomise
from tests.fixtures.onnx_graphs import drawn, network, node, saved

X = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
ORDER = torch.randperm(16, generator=torch.Generator().manual_seed(1))
Reorder = Callable[["Shuffled", Tensor], Tensor]


class Shuffled(nn.Module):
    """Two convolutions, and a linear layer; what is between them is given."""

    def __init__(self, reorder: Reorder, width: int = 16) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(width, 16, 3, padding=1)
        self.reorder, self.head = reorder, nn.Linear(16, 4)
        self.order = nn.Buffer(ORDER.clone())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.reorder(self, self.a(x).relu())
        y = self.b(y).relu()
        if self.b.in_channels == self.b.out_channels:
            y = self.reorder(self, y)
        z: Tensor = self.head(y.mean((2, 3)))
        return z


class Once(nn.Module):
    """A buffer of positions that one call reads."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 4, 3)
        self.order = nn.Buffer(ORDER.clone())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.b(self.a(x).relu()[:, self.order])
        return y


CASES: dict[str, tuple[Reorder, int]] = {
    "buffer": (lambda net, y: y[:, net.order], 16),
    "index_select": (lambda net, y: y.index_select(1, net.order), 16),
    "list in the code": (lambda _, y: y[:, [*range(8, 16), *range(8)]], 16),
    "negative": (lambda _, y: y[:, torch.arange(-1, -17, -1)], 16),
    "every second one": (lambda _, y: y[:, list(range(0, 16, 2))], 8),
    "some of them twice": (lambda _, y: y[:, [*range(16), *range(8)]], 24),
    "added to themselves": (lambda net, y: y + y[:, net.order], 16),
    "one column of pairs": (
        lambda net, y: y[:, net.order.reshape(-1, 1).unbind(1)[0]],
        16,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_reordered_channels_are_pruned_exactly(case: str) -> None:
    net = randomise(Shuffled(*CASES[case])).eval()
    pruned = secateur.prune(net, X, ratio=0.5, round_to=1, min_channels=1)
    assert pruned.certificate.is_exact
    assert pruned.cost.macs < 0.6 * pruned.dense.macs


def test_positions_that_two_layers_read_become_two_lists() -> None:
    program = from_module(randomise(Shuffled(*CASES["buffer"])), (X,))
    analysis = analyse(program)
    keeps = {
        family.name: torch.arange(family.num_groups) % (number + 2) == 0
        for number, family in enumerate(analysis.families)
    }
    plan = make_plan(program, analysis, keeps)
    smaller = compact(program, analysis, plan)
    lists = [t for t in smaller.tensors.values() if not t.is_floating_point() and t.dim() == 1]
    assert sorted(len(each) for each in lists) == [6, 8, 16]
    twin = expand_program(program, plan, smaller)
    for name, tensor in mask_program(program, plan).tensors.items():
        assert torch.equal(twin.tensors[name], tensor), name


def test_the_users_class_takes_the_new_positions(tmp_path: Path) -> None:
    net = randomise(Once()).eval()
    pruned = secateur.prune(net, X, ratio=0.5, round_to=1, min_channels=1)
    pruned.save(tmp_path / "weights.safetensors")
    loaded = load_pruned(tmp_path / "weights.safetensors", Once()).eval()
    assert loaded.order.shape == (8,)
    torch.testing.assert_close(loaded(X), ProgramModule(pruned.program).eval()(X))


def test_a_gather_of_an_onnx_file_is_pruned(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Gather", "b order", "c", axis=1),
        node("Transpose", "c", "d", perm=[1, 0, 2, 3]), node("GatherND", "d pairs", "e"),
        node("Transpose", "e", "f", perm=[1, 0, 2, 3]), node("Conv", "f v"),
    ]  # fmt: skip
    weights = {
        "w": drawn(16, 3, 3, 3), "v": drawn(4, 16, 3, 3), "order": ORDER.numpy(),
        "pairs": np.arange(16)[::-1].reshape(16, 1).copy(),
    }  # fmt: skip
    path = saved(network(*nodes, weights=weights), tmp_path)
    pruned = secateur.prune(path, ratio=0.5, round_to=1, min_channels=1)
    assert pruned.certificate.is_exact
    assert pruned.program.parameters()["w"].shape[0] == 8
    pruned.save(tmp_path / "again.onnx")
    again = secateur.prune(tmp_path / "again.onnx", ratio=0.5, round_to=1, min_channels=1)
    assert again.program.parameters()["w"].shape[0] == 4
