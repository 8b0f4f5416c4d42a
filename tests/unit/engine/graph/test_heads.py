"""Attention loses whole heads, however a network writes it, and stays exact."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from secateur.engine.graph import Analysis, Family, analyse
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.surgery import certify, compact, mask_program
from tests.fixtures.networks import randomise

HEADS, WIDTH = 4, 6  # the width is the longer side, so the default would keep it
ALL = HEADS * WIDTH
Heads = Callable[[Tensor, Tensor, Tensor], Tensor]


def scores(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    y: Tensor = ((q * WIDTH**-0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
    return y


class Packed(nn.Module):
    """Queries, keys and values from one layer, split by ``split`` into (N, heads, L, width)."""

    def __init__(self, split: Callable[[Tensor], tuple[Tensor, ...]], attend: Heads) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(5, 3 * ALL), nn.Linear(ALL, 3)
        self.split, self.attend = split, attend

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(self.qkv(x))
        y: Tensor = self.proj(self.attend(q, k, v).transpose(1, 2).reshape(*x.shape[:2], -1))
        return y


class Apart(nn.Module):
    """Queries, keys and values from three layers, as (N, L, heads, width)."""

    def __init__(self, attend: Heads) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(5, ALL) for _ in range(3))
        self.proj, self.attend = nn.Linear(ALL, 3), attend

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).view(*x.shape[:2], -1, WIDTH) for layer in (self.q, self.k, self.v))
        y: Tensor = self.proj(self.attend(q, k, v).flatten(2))
        return y


class Torch(nn.Module):
    """The layer of torch."""

    def __init__(self, *, is_first: bool, need_weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(ALL, HEADS, batch_first=is_first)
        self.inner, self.out = nn.Linear(5, ALL), nn.Linear(ALL, 3)
        self.is_first, self.need_weights = is_first, need_weights

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(x if self.is_first else x.transpose(0, 1))
        x = self.attention(x, x, x, need_weights=self.need_weights)[0]
        y: Tensor = self.out(x if self.is_first else x.transpose(0, 1))
        return y


class Biased(nn.Module):
    """Attention with a learned bias for each head and distance, and normalised queries."""

    places: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(7, HEADS))
        self.register_buffer("places", (torch.arange(16) % 7))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        bias = self.table[self.places].view(4, 4, -1).permute(2, 0, 1)
        y: Tensor = (self.norm(q) @ k.transpose(-2, -1) + bias).softmax(-1) @ v
        return y


class Rotated(nn.Module):
    """Attention with rotary positions: stored constants weight the width of a head."""

    cosine: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cosine", torch.rand(4, WIDTH))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        y: Tensor = F.scaled_dot_product_attention(q * self.cosine, k * self.cosine, v)
        return y


def permuted(x: Tensor) -> tuple[Tensor, ...]:
    return x.reshape(*x.shape[:2], 3, HEADS, WIDTH).permute(2, 0, 3, 1, 4).unbind(0)


def chunked(x: Tensor) -> tuple[Tensor, ...]:
    each = x.chunk(3, -1)
    return tuple(part.view(*x.shape[:2], HEADS, WIDTH).transpose(1, 2) for part in each)


def by_head(x: Tensor) -> tuple[Tensor, ...]:
    parts: tuple[Tensor, ...] = x.unflatten(2, (HEADS, 3 * WIDTH)).transpose(1, 2).split(WIDTH, -1)
    return parts


def folded(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention with the heads in the batch, as in older libraries."""
    size = q.shape[0]
    q, k, v = (part.transpose(1, 2).reshape(-1, 4, WIDTH) for part in (q, k, v))
    return torch.bmm(torch.bmm(q, k.mT).softmax(-1), v).view(size, HEADS, 4, WIDTH).transpose(1, 2)


def summed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    attention = torch.einsum("nqhc,nkhc->nhqk", q, k).softmax(-1)
    return torch.einsum("nhqk,nkhc->nqhc", attention, v)


def across_channels(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention between channels; a softmax over the width of a head."""
    y: Tensor = v @ (F.normalize(q, dim=-2).mT @ F.normalize(k, dim=-2)).softmax(-1)
    return y


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "one layer, permuted": lambda: Packed(permuted, F.scaled_dot_product_attention),
    "one layer, in chunks": lambda: Packed(chunked, scores),
    "one layer, packed by head": lambda: Packed(by_head, scores),
    "a bias for each head, and normalised queries": lambda: Packed(permuted, Biased()),
    "rotary positions": lambda: Packed(permuted, Rotated()),
    "attention across channels": lambda: Packed(permuted, across_channels),
    "three layers, heads in the batch": lambda: Apart(folded),
    "three layers, einsum": lambda: Apart(summed),
    "torch's layer": lambda: Torch(is_first=True, need_weights=False),
    "torch's layer with weights, sequence first": lambda: Torch(is_first=False, need_weights=True),
}


def analysed(model: nn.Module, *shape: int) -> tuple[Program, Analysis]:
    program = from_exported(export(randomise(model), (torch.randn(2, *shape),)))
    return program, analyse(program)


def half_pruned(program: Program, analysis: Analysis) -> tuple[Program, float]:
    """Remove every other group; return the smaller program, and its error in float64."""
    keeps = {f.name: torch.arange(f.num_groups) % 2 == 0 for f in analysis.families if f.is_exact}
    plan = make_plan(program, analysis, keeps)
    smaller = compact(program, analysis, plan)
    found = certify(mask_program(program, plan), smaller, [program.example_inputs(3)])
    return smaller, found.float64.max_relative_error


def heads_of(analysis: Analysis) -> Family:
    return next(
        family
        for family in analysis.families
        if family.num_groups == HEADS and family.producers()[0].index_GK.shape[1] >= WIDTH
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_heads_go_and_the_rest_is_exact(name: str) -> None:
    program, analysis = analysed(NETWORKS[name](), 4, 5)

    heads = heads_of(analysis)
    smaller, error = half_pruned(program, analysis)

    assert heads.is_exact
    blocks = heads.producers()[0].index_GK[1].sort().values.view(-1, WIDTH)
    assert torch.equal(blocks - blocks[:, :1], torch.arange(WIDTH).expand_as(blocks))
    assert error <= 1e-9
    before, after = (
        sum(p.tensors[m.tensor].numel() for m in heads.members) for p in (program, smaller)
    )
    assert after < 0.6 * before


class Shown(Packed):
    """Attention whose map for each head is an output."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        q, k, v = self.split(self.qkv(x))
        attention = (q @ k.mT).softmax(-1)
        return self.proj((attention @ v).transpose(1, 2).flatten(2)), attention


def test_channels_of_values_go_where_the_map_of_every_head_is_an_output() -> None:
    program, analysis = analysed(Shown(chunked, scores), 4, 5)

    assert [(f.name, f.num_groups) for f in analysis.families] == [("qkv.weight", WIDTH)]
    assert half_pruned(program, analysis)[1] <= 1e-9


def test_a_group_of_channels_with_weights_of_its_own_is_no_head() -> None:
    class Grouped(nn.Module):
        """A linear layer for each of four groups."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(5, ALL), nn.Linear(ALL, 3)
            self.weight = nn.Parameter(torch.randn(HEADS, WIDTH, WIDTH))

        def forward(self, x: Tensor) -> Tensor:
            groups = self.first(x).view(-1, HEADS, 1, WIDTH) @ self.weight
            y: Tensor = self.last(groups.flatten(1))
            return y

    _, analysis = analysed(Grouped(), 5)

    assert {family.num_groups for family in analysis.families} == {WIDTH}


class Hybrid(nn.Module):
    """ViT with a convolutional stem, one block and a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, ALL, 2, 2)
        )
        self.token = nn.Parameter(torch.randn(1, 1, ALL))
        self.position = nn.Parameter(torch.randn(1, 17, ALL))
        self.norms = nn.ModuleList(nn.LayerNorm(ALL) for _ in range(3))
        self.qkv, self.proj = nn.Linear(ALL, 3 * ALL), nn.Linear(ALL, ALL)
        self.wide, self.narrow = nn.Linear(ALL, 2 * ALL), nn.Linear(2 * ALL, ALL)
        self.head = nn.Linear(ALL, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        q, k, v = permuted(self.qkv(self.norms[0](x)))
        y = F.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(y.transpose(1, 2).reshape(x.shape))
        x = x + self.narrow(F.gelu(self.wide(self.norms[1](x))))
        logits: Tensor = self.head(self.norms[2](x)[:, 0])
        return logits


def test_a_hybrid_loses_heads_hidden_channels_and_filters_exactly() -> None:
    program, analysis = analysed(Hybrid(), 3, 16, 16)

    smaller, error = half_pruned(program, analysis)

    assert error <= 1e-9
    shapes = {name: tuple(tensor.shape) for name, tensor in smaller.tensors.items()}
    assert shapes["qkv.weight"] == (3 * ALL // 2, ALL)
    assert shapes["proj.weight"] == (ALL, ALL // 2)
    assert shapes["wide.weight"] == (ALL, ALL)
    assert shapes["stem.0.weight"][0] == 4
