"""Effects of single operators on channel groups, on small networks."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torchvision.ops import DeformConv2d

from secateur.engine.graph import Analysis, analyse
from secateur.engine.graph.rules import RULES
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.program.vocabulary import find_operator
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


def analysed(model: nn.Module, *shape: int) -> tuple[Program, Analysis]:
    x = torch.randn(2, *(shape or (1, 8, 8)))
    program = from_exported(export(randomise(model), (x,)))
    return program, analyse(program)


def half_pruned(program: Program, analysis: Analysis) -> float:
    """Remove every other group, certify, and return the relative error in float64."""
    keeps = {f.name: torch.arange(f.num_groups) % 2 == 0 for f in analysis.families}
    plan = make_plan(program, analysis, keeps)
    ops = tuple(op for family in analysis.families for op in family.inexact_ops)
    smaller = compact(program, analysis, plan)
    twin = mask_program(program, plan)
    certificate = certify(twin, smaller, [program.example_inputs(3)], ops)
    return certificate.float64.max_relative_error


RAMP = torch.linspace(1, 2, 8).view(1, 1, 1, 8)


def shifted(x: Tensor, mask: Tensor) -> Tensor:
    return x * mask + mask


def columns(x: Tensor) -> Tensor:
    places = torch.zeros(x.shape[0], 1, 8, 8, dtype=torch.long) + torch.arange(7, -1, -1)
    return x.gather(3, places.expand(-1, WIDTH, -1, -1))


def read_before(x: Tensor) -> Tensor:
    mask = RAMP.repeat(1, WIDTH, 8, 1)
    return mask.sum() + x * mask


EXACT: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "relu": (F.relu, WIDTH),
    "sigmoid, which is not 0 at 0": (torch.sigmoid, WIDTH),
    "a shift": (lambda x: x + 1, WIDTH),
    "pooling": (lambda x: F.avg_pool2d(F.max_pool2d(x, 2), 2), WIDTH),
    "interpolation": (lambda x: F.interpolate(x, scale_factor=2), WIDTH),
    "nhwc and back": (lambda x: x.permute(0, 2, 3, 1).relu().permute(0, 3, 1, 2), WIDTH),
    "concatenation": (lambda x: torch.cat([x, x.relu()], 1), 2 * WIDTH),
    "halves swapped": (lambda x: torch.cat(x.chunk(2, 1)[::-1], 1), WIDTH),
    "a slice": (lambda x: x[:, 2:6], 4),
    "shuffle": (lambda x: F.channel_shuffle(x, 2), WIDTH),
    "shuffle by views": (
        lambda x: x.view(-1, 2, 4, 8, 8).transpose(1, 2).reshape(-1, 8, 8, 8),
        WIDTH,
    ),
    "pixel shuffle": (lambda x: F.pixel_shuffle(x, 2), WIDTH // 4),
    "pixel unshuffle": (lambda x: F.pixel_unshuffle(x, 2), WIDTH * 4),
    "a gate": (lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(), WIDTH),
    "batch and channels in one dimension": (
        lambda x: x.reshape(x.shape[0] * x.shape[1], 8, 8).relu().reshape(x.shape[0], 8, 8, 8),
        WIDTH,
    ),
    "instance norm": (F.instance_norm, WIDTH),
    "a roll of channels": (lambda x: x.roll(3, 1), WIDTH),
    "rolls of channels and space": (lambda x: x.roll((-5, 2, 9), (1, 3, -3)), WIDTH),
    "a mask expanded to all channels": (lambda x: x * RAMP.expand(-1, WIDTH, 8, -1), WIDTH),
    "a mask repeated, read twice": (lambda x: shifted(x, RAMP.repeat(1, WIDTH, 8, 1)), WIDTH),
    "gather along space": (lambda x: x.gather(3, x.argsort(3)), WIDTH),
    "the same columns of all channels": (columns, WIDTH),
    "padding of space": (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), WIDTH),
}


@pytest.mark.parametrize(("function", "channels"), EXACT.values(), ids=EXACT.keys())
def test_channels_pass_through_exact_operators(
    function: Callable[[Tensor], Tensor], channels: int
) -> None:
    program, analysis = analysed(Between(function, channels))
    family = analysis.family("first.weight")
    assert family.num_groups > 1
    assert family.is_exact
    assert half_pruned(program, analysis) <= 1e-9


INEXACT: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: x * x.softmax(1),
    "layer_norm": lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (WIDTH,)).permute(0, 3, 1, 2),
    "group_norm": lambda x: F.group_norm(x, 2),
    "mean": lambda x: x * x.mean(1, keepdim=True),
}


@pytest.mark.parametrize(("op", "function"), INEXACT.items(), ids=INEXACT.keys())
def test_normalising_over_channels_is_allowed_and_flagged(
    op: str, function: Callable[[Tensor], Tensor]
) -> None:
    program, analysis = analysed(Between(function))
    assert op in analysis.family("first.weight").inexact_ops
    assert half_pruned(program, analysis) > 1e-9


PINNED: dict[str, Callable[[Tensor], Tensor]] = {
    "sort, which has no rule": lambda x: x.sort(1).values,
    "one channel by its position": lambda x: x - x[:, 3:4],
    "values that no parameter produces": lambda x: x + torch.arange(8.0).view(1, 8, 1, 1),
    "roll of the flattened value": lambda x: x.roll(1),
    "gather along the channels": lambda x: x.gather(1, x.argsort(1)),
    "gather from some channels": lambda x: x.gather(3, x.argsort(3)[:, :4]).repeat(1, 2, 1, 1),
    "copies that are read before": read_before,
}


@pytest.mark.parametrize("function", PINNED.values(), ids=PINNED.keys())
def test_channels_that_no_rule_can_follow_are_frozen_with_a_reason(
    function: Callable[[Tensor], Tensor],
) -> None:
    _, analysis = analysed(Between(function))
    frozen = {f.tensor: f for f in analysis.frozen}
    assert frozen["first.weight"].pin.reason
    assert "first.weight" not in {f.name for f in analysis.families if f.num_groups == WIDTH}


def test_an_unknown_operator_is_named_with_its_source_line() -> None:
    _, analysis = analysed(Between(lambda x: x.sort(1).values))
    pin = next(f.pin for f in analysis.frozen if f.tensor == "first.weight")
    assert pin.op == "sort"
    assert "test_rules.py" in pin.source


def test_a_standardised_weight_is_prunable() -> None:
    class Standardised(Between):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.first.weight
            mean, std = weight.mean((1, 2, 3), keepdim=True), weight.std((1, 2, 3), keepdim=True)
            x = F.conv2d(x, (weight - mean) / std, self.first.bias, padding=1)
            y: Tensor = self.second(x.relu())
            return y

    program, analysis = analysed(Standardised(F.relu))
    assert [f.name for f in analysis.families] == ["first.weight"]
    # A zero filter has no standard deviation, so only the compacted program is checked.
    keep = torch.ones(WIDTH, dtype=torch.bool)
    keep[2] = False
    smaller = compact(program, analysis, make_plan(program, analysis, {"first.weight": keep}))
    assert smaller.tensors["first.weight"].shape[0] == WIDTH - 1


def test_a_weight_shared_by_two_sites_is_one_tensor() -> None:
    class Shared(Between):
        def forward(self, x: Tensor) -> Tensor:
            a, b = self.first(x), self.first(x.flip(3))
            y: Tensor = self.second(a.relu() + b.relu())
            return y

    program, analysis = analysed(Shared(F.relu))
    assert half_pruned(program, analysis) <= 1e-9


def test_grouped_and_transposed_convolutions_keep_their_groups() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 12, 1),
        nn.Conv2d(12, 12, 3, padding=1, groups=3),
        nn.ConvTranspose2d(12, 6, 2, 2),
        nn.Conv2d(6, 2, 1),
    )
    program, analysis = analysed(model)
    sizes = {f.name: f.num_groups for f in analysis.families}
    assert sizes == {"0.weight": 8, "2.weight": 4, "3.weight": 4, "4.weight": 6}
    assert half_pruned(program, analysis) <= 1e-9


def test_a_norm_with_many_groups_loses_whole_groups_exactly() -> None:
    model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.GroupNorm(8, 32), nn.ReLU(), nn.Conv2d(32, 2, 1))
    program, analysis = analysed(model)
    (family,) = analysis.families
    assert (family.num_groups, family.is_exact) == (8, True)
    assert half_pruned(program, analysis) <= 1e-9


def test_norms_whose_groups_overlap_lose_channels_of_each_group() -> None:
    class Joined(nn.Module):
        """Two norms, with groups of 3 and of 12 of the same channels."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 24, 3), nn.Conv2d(24, 2, 1)
            self.norms = nn.Sequential(nn.GroupNorm(8, 24), nn.ReLU(), nn.GroupNorm(2, 24))

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.last(self.norms(self.first(x)))
            return y

    _, analysis = analysed(Joined())
    assert analysis.family("first.weight").num_groups == 3
    assert analysis.family("first.weight").inexact_ops == ("group_norm",)


@pytest.mark.parametrize(("groups", "offset_groups"), [(2, 1), (1, 4), (2, 4)])
def test_a_deformable_convolution_keeps_its_groups(groups: int, offset_groups: int) -> None:
    class Deformed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(12, 2, 1)
            self.offset = nn.Conv2d(16, 2 * 9 * offset_groups, 3, padding=1)
            self.deformed = DeformConv2d(16, 12, 3, padding=1, groups=groups)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            y: Tensor = self.last(self.deformed(x, self.offset(x)))
            return y

    program, analysis = analysed(Deformed())
    assert analysis.family("first.weight").num_groups == 16 // max(groups, offset_groups)
    assert analysis.family("deformed.weight").num_groups == 12 // groups
    assert half_pruned(program, analysis) <= 1e-9


@pytest.mark.parametrize("reparametrise", [weight_norm, spectral_norm])
def test_normalised_weights_are_pruned_exactly(
    reparametrise: Callable[[nn.Module], nn.Module],
) -> None:
    model = nn.Sequential(
        reparametrise(nn.Conv2d(1, 8, 3)), nn.ReLU(), reparametrise(nn.Conv2d(8, 2, 1))
    )
    program, analysis = analysed(model)
    (family,) = analysis.families
    assert (family.num_groups, family.is_exact) == (8, True)
    assert half_pruned(program, analysis) <= 1e-9


def test_a_kernel_of_its_own_for_each_sample_is_the_reason() -> None:
    class Dynamic(nn.Module):
        """A convolution whose kernels are mixed for each sample (CondConv)."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.mix = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, 3)
            self.kernels = nn.Parameter(torch.randn(3, 6 * 8))
            self.last = nn.Conv2d(6, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            size = x.shape[0]
            kernels = (self.mix(x.mean((2, 3))).sigmoid() @ self.kernels).view(-1, 8, 1, 1)
            y = F.conv2d(x.reshape(1, -1, *x.shape[2:]), kernels, groups=size)
            z: Tensor = self.last(y.view(size, 6, *x.shape[2:]))
            return z

    _, analysis = analysed(Dynamic())
    reasons = {f.tensor: f.pin.reason for f in analysis.frozen}
    assert reasons["first.weight"] == "is filtered by kernels of its own for each sample"


def is_accepted(name: str) -> bool:
    """Return whether a file may call any overload of an operator."""
    if name == "deform_conv2d":
        return find_operator("torch.ops.torchvision.deform_conv2d.default") is not None
    packet = getattr(torch.ops.aten, name, None)
    overloads = packet.overloads() if packet is not None else []
    return any(find_operator(f"torch.ops.aten.{name}.{each}") is not None for each in overloads)


def test_every_rule_is_for_an_accepted_operator() -> None:
    unknown = {name for name in RULES if not is_accepted(name)} - {"getitem"}
    # Names of Python functions, and an operator that draws random numbers.
    assert unknown <= {"rand_like", "upsample_nearest_exact2d", "lp_pool2d", "softsign"} | {
        "logsigmoid"
    }
