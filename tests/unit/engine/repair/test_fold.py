"""`fold_program` merges equal channels without loss, in every kind of network that has them."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from secateur.engine import Plan, Program, analyse, from_module, make_plan
from secateur.engine.program.module import ProgramModule
from secateur.engine.repair import fold_program
from secateur.engine.surgery import certify
from tests.unit.engine.repair.readers import READERS, Reading, Weighted


class Recurrent(nn.Module):
    """A recurrent layer read by a linear one."""

    def __init__(self, make: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.first = make(5, 6, batch_first=True)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.first(x)[0])
        return found


class Two(nn.Module):
    """Halves of a layer with different activations, read together: only a half can be merged."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 8, 1), nn.Conv2d(8, 3, 1)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.norm(self.first(x)).chunk(2, 1)
        found: Tensor = self.last(torch.cat([torch.relu(a), torch.sigmoid(b)], 1))
        return found


class Residual(nn.Module):
    """A residual sum, a depthwise layer, a concatenation and a flattened head, with BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.block = nn.Sequential(
            nn.Conv2d(8, 6, 1), nn.BatchNorm2d(6), nn.ReLU(),
            nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6), nn.PReLU(6),
            nn.Conv2d(6, 8, 1), nn.BatchNorm2d(8),
        )  # fmt: skip
        self.norm = nn.BatchNorm2d(14)
        self.up = nn.ConvTranspose2d(14, 4, 2, 2)
        self.last = nn.Linear(4 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = torch.relu(x + self.block(x))
        x = torch.relu(self.norm(torch.cat([y, self.block[:3](y)], 1)))
        found: Tensor = self.last(torch.relu(self.up(x)).flatten(1))
        return found


class Heads(nn.Module):
    """Attention: queries and keys are multiplied with each other, values are only read."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, 6) for _ in range(3))
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores = (self.q(x) @ self.k(x).transpose(1, 2)).softmax(-1)
        found: Tensor = self.last(scores @ self.v(x))
        return found


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{name: (make, ()) for name, make in READERS.items()},
    "bilinear": (
        lambda: Reading(
            Weighted((3, 6, 6), lambda x, w: torch.nn.functional.bilinear(x, x, w)),
            read=lambda x: x.movedim(1, -1).contiguous(),
        ),
        (),
    ),
    "lstm": (lambda: Recurrent(nn.LSTM), (4, 5)),
    "gru": (lambda: Recurrent(nn.GRU), (4, 5)),
    "residual": (Residual, (2, 2, 2)),
    "halves": (Two, (2, 4, 4)),
    "attention": (Heads, (5, 4)),
}


@cache
def prepared(kind: str) -> tuple[Program, Tensor]:
    """Return a program with statistics unlike those of its initialisation, and inputs."""
    torch.manual_seed(0)
    make, shape = NETWORKS[kind]
    network = make()
    if isinstance(network, Reading):
        shape = (2, *[8, 7, 6][: network.first.weight.dim() - 2])
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for tensor in (*layer.parameters(), layer.running_mean, layer.running_var):
                    assert tensor is not None
                    tensor.copy_(torch.rand_like(tensor) + 0.5)
    x = torch.randn(6, *shape)
    return from_module(network.eval(), (x[:2],)), x


def halved(program: Program) -> Plan:
    """Return the plan that keeps every second group."""
    analysis = analyse(program)
    keeps = {f.name: torch.arange(f.num_groups) % 2 == 0 for f in analysis.families}
    return make_plan(program, analysis, keeps)


def outputs(program: Program, x: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = ProgramModule(program).eval()(x)
    return found


@pytest.mark.filterwarnings("ignore:The tensor attribute")  # torch exports LSTM so
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_folded_network_computes_what_its_twin_does(kind: str) -> None:
    program, x = prepared(kind)
    plan = halved(program)
    assert plan.num_removed
    found = fold_program(program, analyse(program), plan)
    assert bool(found.num_merged)
    certify(found.twin, found.program, [(x,)])
    for name, tensor in found.twin.tensors.items():
        assert tensor.shape == program.tensors[name].shape
    again = fold_program(program, analyse(program), plan)
    assert all(torch.equal(t, again.program.tensors[n]) for n, t in found.program.tensors.items())


@pytest.mark.filterwarnings("ignore:The tensor attribute")  # torch exports LSTM so
@pytest.mark.parametrize("kind", NETWORKS)
def test_channels_that_compute_the_same_are_merged_without_loss(kind: str) -> None:
    program, x = prepared(kind)
    folded = fold_program(program, analyse(program), halved(program))
    twin = folded.twin.map_tensors(lambda t: t.float() if t.is_floating_point() else t)
    analysis = analyse(twin)
    keeps = {}
    for family in analysis.families:  # the first of each cluster
        weights = [twin.tensors[m.tensor].movedim(m.dim, 0) for m in family.producers()]
        rows = [
            w.flatten(1)[m.index_GK].flatten(1)
            for w, m in zip(weights, family.producers(), strict=True)
        ]
        first: dict[tuple[float, ...], int] = {}
        for group, row in enumerate(torch.cat(rows, 1).tolist()):
            first.setdefault(tuple(row), group)
        keeps[family.name] = torch.zeros(family.num_groups, dtype=torch.bool)
        keeps[family.name][list(first.values())] = True
    plan = make_plan(twin, analysis, keeps)
    assert plan.num_removed >= folded.num_merged > 0
    again = fold_program(twin, analysis, plan)
    torch.testing.assert_close(outputs(again.program, x), outputs(twin, x), rtol=1e-4, atol=1e-5)


def test_queries_and_keys_are_cut_but_values_are_merged() -> None:
    program, _ = prepared("attention")
    found = fold_program(program, analyse(program), halved(program))
    assert found.num_merged == 3
    kept = program.tensors["q.weight"][::2]
    assert torch.equal(found.program.tensors["q.weight"], kept)


def test_the_variance_of_an_average_is_restored() -> None:
    """A layer's filters at right angles: their averages vary half as much, and are scaled up."""
    torch.manual_seed(0)
    first = nn.Conv2d(8, 8, 1, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.eye(8)[:, :, None, None])
    network = nn.Sequential(first, nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1)).eval()
    program = from_module(network, (torch.randn(2, 8, 4, 4),))
    tensors = fold_program(program, analyse(program), halved(program)).program.tensors
    averaged = nn.functional.conv2d(torch.randn(500, 8, 4, 4), tensors["0.weight"])
    normed = nn.functional.batch_norm(
        averaged,
        tensors["1.running_mean"],
        tensors["1.running_var"],
        tensors["1.weight"],
        tensors["1.bias"],
    )
    assert normed.std(dim=(0, 2, 3)).tolist() == pytest.approx([1] * 4, abs=0.05)
    assert averaged.std(dim=(0, 2, 3)).min() < 0.8
