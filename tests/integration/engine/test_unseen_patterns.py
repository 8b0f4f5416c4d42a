"""Network patterns that the engine was not developed on."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from secateur.engine.graph import Analysis, analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.measure import count_macs
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.surgery import certify, compact, mask_program
from tests.fixtures.networks import randomise

WIDTH = 8


class Between(nn.Module):
    """Two convolutions with a function between them."""

    def __init__(self, function: Callable[[Tensor], Tensor], channels: int = WIDTH) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, WIDTH, 3, padding=1)
        self.second = nn.Conv2d(channels, 2, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.function(self.first(x)))
        return y


class Attention(nn.Module):
    """Queries, keys and values of one head, combined by a function; several would go whole."""

    def __init__(self, function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(6, 4 * WIDTH) for _ in range(3))
        self.out = nn.Linear(4 * WIDTH, 2)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            f(x).unflatten(2, (1, 4 * WIDTH)).transpose(1, 2) for f in (self.q, self.k, self.v)
        )
        y: Tensor = self.out(self.function(q, k, v).transpose(1, 2).flatten(2))
        return y


def analysed(model: nn.Module, *shape: int) -> tuple[Program, Analysis]:
    x = torch.randn(2, *(shape or (1, 8, 8)))
    program = from_exported(export(randomise(model), (x,)))
    return program, analyse(program)


def pruned(program: Program, analysis: Analysis, stays: Callable[[Tensor], Tensor]) -> float:
    """Keep the groups that ``stays`` selects; return the relative error in float64."""
    keeps = {f.name: stays(torch.arange(f.num_groups)) for f in analysis.families}
    for keep in keeps.values():
        keep[0] |= not bool(keep.any())
    plan = make_plan(program, analysis, keeps)
    smaller = compact(program, analysis, plan)
    assert count_macs(smaller) == CostModel(program, analysis).macs(keeps)
    ops = tuple(op for family in analysis.families for op in family.inexact_ops)
    twin = mask_program(program, plan)
    certificate = certify(twin, smaller, [program.example_inputs(3)], ops)
    return certificate.float64.max_relative_error


# Remove the first, the last, or every other group; literals must be correct in each case.
STAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "even": lambda i: i % 2 == 0,
    "odd": lambda i: i % 2 == 1,
    "not the first": lambda i: i > 0,
    "only the first": lambda i: i == 0,
}

EXACT: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "glu": (lambda x: F.glu(x, 1), WIDTH // 2),
    "masked_fill": (lambda x: x.masked_fill(x < 0, 0.5), WIDTH),
    "zeros around space": (lambda x: F.pad(x, (1, 1, 1, 1)), WIDTH),
    "zeros around channels": (lambda x: F.pad(x, (0, 0, 0, 0, 2, 1)), WIDTH + 3),
    "channels cropped by padding": (lambda x: F.pad(x, (0, 0, 0, 0, -1, -2)), WIDTH - 3),
    "a slice with a step": (lambda x: x[:, 1::2], WIDTH // 2),
    "interleaved halves": (lambda x: torch.cat([x[:, ::2].relu(), x[:, 1:7:2]], 1), WIDTH - 1),
    "windows": (
        lambda x: F.unfold(x, 3, padding=1).view(-1, 9 * WIDTH, 8, 8),
        9 * WIDTH,
    ),
    "windows and back": (lambda x: F.fold(F.unfold(x, 2, stride=2), (8, 8), 2, stride=2), WIDTH),
    "expand_as": (lambda x: x * x.amax((1, 2, 3), keepdim=True).expand_as(x), WIDTH),
    "channels by a list of positions": (lambda x: x[:, [3, 1, 0]], 3),
    "rows by their index": (lambda x: x[:, :, torch.tensor([3, 0, 1])], WIDTH),
    "positions by two indices": (
        lambda x: x[..., torch.tensor([[3], [0]]), torch.tensor([1, 2])],
        WIDTH,
    ),
    "index_select": (lambda x: x.index_select(3, torch.tensor([3, 1])), WIDTH),
    "one row": (lambda x: x[:, :, 2].unsqueeze(2), WIDTH),
    "einsum with an ellipsis": (lambda x: torch.einsum("bc...,b...->bc...", x, x[:, 0]), WIDTH),
    "a pooled depth of one": (lambda x: F.max_pool3d(x, (1, 2, 2), (1, 2, 2)), WIDTH),
}


@pytest.mark.parametrize("stays", STAYS.values(), ids=STAYS.keys())
@pytest.mark.parametrize(("function", "channels"), EXACT.values(), ids=EXACT.keys())
def test_channels_pass_through(
    function: Callable[[Tensor], Tensor], channels: int, stays: Callable[[Tensor], Tensor]
) -> None:
    program, analysis = analysed(Between(function, channels))
    assert any(f.name.startswith("first.weight") for f in analysis.families)
    error = pruned(program, analysis, stays)
    if all(family.is_exact for family in analysis.families):
        assert error <= 1e-9


def test_local_response_normalisation_is_inexact() -> None:
    program, analysis = analysed(Between(lambda x: F.local_response_norm(x, 3)))
    assert analysis.family("first.weight").inexact_ops == ("avg_pool3d",)
    pruned(program, analysis, STAYS["even"])


PINNED: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "a step that leaves a remainder": (lambda x: x[:, ::3], 3),
    "copies of channels around them": (
        lambda x: F.pad(x.transpose(1, 3), (1, 1, 0, 0), mode="reflect").transpose(1, 3),
        WIDTH + 2,
    ),
}


@pytest.mark.parametrize(("function", "channels"), PINNED.values(), ids=PINNED.keys())
def test_channels_read_by_position_are_frozen(
    function: Callable[[Tensor], Tensor], channels: int
) -> None:
    _, analysis = analysed(Between(function, channels))
    assert "first.weight" in {f.tensor for f in analysis.frozen}
    assert not analysis.families


@pytest.mark.parametrize("stays", STAYS.values(), ids=STAYS.keys())
def test_attention_keeps_its_scale_when_queries_and_keys_are_pruned(
    stays: Callable[[Tensor], Tensor],
) -> None:
    program, analysis = analysed(Attention(F.scaled_dot_product_attention), 5, 6)
    assert {f.name for f in analysis.families} == {"q.weight", "v.weight"}
    assert pruned(program, analysis, stays) <= 1e-9


@pytest.mark.parametrize(
    ("kernel", "is_exact"),
    [(torch.relu, True), (torch.sigmoid, False), (lambda x: F.elu(x) + 1, False)],
    ids=["relu", "sigmoid", "elu + 1"],
)
@pytest.mark.parametrize("is_einsum", [False, True], ids=["matmul", "einsum"])
def test_a_product_of_functions_that_are_not_zero_at_zero_is_inexact(
    kernel: Callable[[Tensor], Tensor], *, is_exact: bool, is_einsum: bool
) -> None:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = kernel(q), kernel(k)
        if is_einsum:
            return torch.einsum("bhid,bhjd->bhij", q, k) @ v
        return (q @ k.transpose(2, 3)) @ v

    program, analysis = analysed(Attention(attend), 5, 6)
    assert analysis.family("q.weight").is_exact == is_exact
    assert analysis.family("v.weight").is_exact
    error = pruned(program, analysis, STAYS["even"])
    assert (error <= 1e-9) == is_exact


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("stays", STAYS.values(), ids=STAYS.keys())
def test_depthwise_transposed_convolution(
    multiplier: int, stays: Callable[[Tensor], Tensor]
) -> None:
    model = nn.Sequential(
        nn.Conv2d(1, WIDTH, 3, padding=1),
        nn.ConvTranspose2d(WIDTH, WIDTH * multiplier, 4, 2, 1, groups=WIDTH),
        nn.Conv2d(WIDTH * multiplier, 2, 1),
    )
    program, analysis = analysed(model)
    assert [f.num_groups for f in analysis.families] == [WIDTH]
    assert pruned(program, analysis, stays) <= 1e-9
