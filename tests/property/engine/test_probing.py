"""Dependency analysis against brute-force probing: randomise slices and see which outputs change.

Every nonlinearity maps zero to zero and has no dead zone. So a channel set to zero stays zero, and
a channel that is read changes the outputs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from secateur.engine.graph import Analysis, analyse
from secateur.engine.graph.atoms import MemberRole
from secateur.engine.graph.groups import Family, Member
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from tests.fixtures.networks import randomise

# Only data flow unites channels here; the other kinds also unite some to keep sizes divisible.
FLOWING = (
    "conv depthwise residual cat split uneven_split squeeze_excite gate pool branches scale"
).split()
KINDS = [*FLOWING, "grouped", "shuffle"]
SIZE = 4
_SLOW = [HealthCheck.too_slow]

Tensors = dict[str, Tensor]
Atom = tuple[str, int, int]


@dataclass(frozen=True)
class Spec:
    kinds: tuple[str, ...]
    width: int
    is_flattened: bool
    has_tap: bool
    seed: int


class Probed(nn.Module):
    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        self.stem = nn.Conv2d(1, spec.width, 3, padding=1)
        self.blocks = nn.ModuleList()
        channels, size = spec.width, SIZE
        for kind in spec.kinds:
            self.blocks.append(_block(kind, channels))
            channels *= 2 if kind in {"cat", "branches"} else 1
            size = max(1, size // 2) if kind == "pool" else size
        self.fc = nn.Linear(channels * size**2 if spec.is_flattened else channels, 3)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = F.leaky_relu(self.stem(x), 0.3)
        tap = x
        for number, (kind, block) in enumerate(zip(self.spec.kinds, self.blocks, strict=True)):
            x = _apply(kind, block, x)
            tap = x if number == len(self.blocks) // 2 else tap
        logits: Tensor = self.fc(x.flatten(1) if self.spec.is_flattened else x.mean((2, 3)))
        return (logits, tap) if self.spec.has_tap else logits


def _layer(inputs: int, outputs: int, groups: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.3),
    )


def _block(kind: str, channels: int) -> nn.Module:
    half, quarter = channels // 2, channels // 4
    by_kind: dict[str, Callable[[], nn.Module]] = {
        "depthwise": lambda: _layer(channels, channels, channels),
        "grouped": lambda: _layer(channels, channels, 2),
        "split": lambda: _layer(half, half),
        "uneven_split": lambda: _layer(quarter, channels),
        "squeeze_excite": lambda: nn.Sequential(
            nn.Linear(channels, half), nn.LeakyReLU(0.3), nn.Linear(half, channels), nn.Sigmoid()
        ),
        "branches": lambda: nn.ModuleList(_layer(channels, channels) for _ in range(2)),
        "scale": lambda: nn.ParameterList([torch.rand(channels, 1, 1) + 0.5]),
        "pool": nn.Identity,
    }
    return by_kind.get(kind, lambda: _layer(channels, channels))()


def _apply(kind: str, block: nn.Module, x: Tensor) -> Tensor:
    steps: dict[str, Callable[[], Tensor]] = {
        "residual": lambda: x + block(x),
        "cat": lambda: torch.cat([x, block(x)], dim=1),
        "split": lambda: _split(block, x),
        "uneven_split": lambda: _uneven_split(block, x),
        "squeeze_excite": lambda: x * block(x.mean((2, 3)))[:, :, None, None],
        "gate": lambda: x * torch.sigmoid(block(x).mean((2, 3), keepdim=True)),
        "shuffle": lambda: _shuffle(block(x)),
        "pool": lambda: F.max_pool2d(x, 2) if x.shape[2] > 1 else x,
        "branches": lambda: torch.cat([b(x) for b in block.children()], dim=1),
        "scale": lambda: x * next(block.parameters()),
    }
    return steps.get(kind, lambda: block(x))()


def _split(block: nn.Module, x: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=1)
    return torch.cat([right, block(left)], dim=1)


def _uneven_split(block: nn.Module, x: Tensor) -> Tensor:
    quarter = x.shape[1] // 4
    left, right = x.split([quarter, x.shape[1] - quarter], dim=1)
    return block(left) + torch.cat([right, left], dim=1)


def _shuffle(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def specs(kinds: list[str]) -> st.SearchStrategy[Spec]:
    return st.builds(
        Spec,
        st.lists(st.sampled_from(kinds), min_size=1, max_size=4).map(tuple),
        st.sampled_from([4, 8]),
        st.booleans(),
        st.booleans(),
        st.integers(0, 2**20),
    )


class Probe:
    def __init__(self, spec: Spec) -> None:
        torch.manual_seed(spec.seed)
        model = randomise(Probed(spec), spec.seed)
        program = from_exported(export(model, (torch.randn(2, 1, SIZE, SIZE),)))
        self.spec = spec
        self.program: Program = program.map_tensors(
            lambda t: t.double() if t.is_floating_point() else t
        )
        self.analysis: Analysis = analyse(program)
        self.inputs = tuple(x.double() for x in program.example_inputs(2, spec.seed % 1000))
        self.generator = torch.Generator().manual_seed(spec.seed)

    def tensors(self) -> Tensors:
        return {name: t.clone() for name, t in self.program.tensors.items()}

    def outputs(self, tensors: Tensors) -> Tensor:
        module = ProgramModule(self.program.with_tensors(tensors), copy=False).eval()
        with torch.no_grad():
            return torch.cat([out.flatten() for out in module.run(self.inputs)])

    def randomise_slice(self, tensors: Tensors, name: str, dim: int, index: Tensor) -> None:
        shape = list(tensors[name].shape)
        shape[dim] = len(index)
        noise = torch.rand(shape, generator=self.generator, dtype=torch.float64)
        tensors[name].index_copy_(dim, index, 2 * noise + 0.5)

    def groups(self) -> Iterator[tuple[Family, int]]:
        for family in self.analysis.families:
            if family.is_exact:
                last = family.num_groups - 1
                for group in sorted({0, last, self.spec.seed % family.num_groups}):
                    yield family, group


def readers(family: Family) -> list[Member]:
    return [m for m in family.members if m.role is MemberRole.CONSUMER]


def writers(family: Family) -> list[Member]:
    return [m for m in family.members if m.role is not MemberRole.CONSUMER]


def set_to_zero(tensors: Tensors, members: list[Member], group: int) -> None:
    for member in members:
        tensors[member.tensor].index_fill_(member.dim, member.index_GK[group], 0)


def is_unchanged(before: Tensor, after: Tensor) -> bool:
    return bool(((before - after).abs() <= 1e-12 * (1 + before.abs().max())).all())


def has_changed(before: Tensor, after: Tensor) -> bool:
    return bool((before - after).abs().max() > 1e-9 * before.abs().max())


def probed(max_examples: int, kinds: list[str]) -> Callable[[Callable[[Spec], None]], object]:
    def decorate(test: Callable[[Spec], None]) -> object:
        decorated = given(specs(kinds))(test)
        for is_flattened in (False, True):
            for start in range(0, len(kinds), 3):
                chosen = tuple(kinds[start : start + 3])
                decorated = example(Spec(chosen, 8, is_flattened, not is_flattened, start))(
                    decorated
                )
        return settings(max_examples=max_examples, deadline=None, suppress_health_check=_SLOW)(
            decorated
        )

    return decorate


@probed(25, KINDS)
def test_a_group_is_all_that_is_read_and_written_together(spec: Spec) -> None:
    probe = Probe(spec)  # once for three properties: to export takes most of the time
    _check_only_the_group_writes_what_its_readers_read(probe)
    _check_only_the_readers_of_a_group_read_what_it_writes(probe)
    _check_channels_frozen_at_the_output_change_it(probe)


def _check_only_the_group_writes_what_its_readers_read(probe: Probe) -> None:
    for family, group in probe.groups():
        zeroed = probe.tensors()
        set_to_zero(zeroed, writers(family), group)
        before = probe.outputs(zeroed)
        for member in readers(family):
            probe.randomise_slice(zeroed, member.tensor, member.dim, member.index_GK[group])
        set_to_zero(zeroed, writers(family), group)
        assert is_unchanged(before, probe.outputs(zeroed)), (family.name, group)


def _check_only_the_readers_of_a_group_read_what_it_writes(probe: Probe) -> None:
    for family, group in probe.groups():
        masked = probe.tensors()
        set_to_zero(masked, readers(family), group)
        before = probe.outputs(masked)
        for member in writers(family):
            probe.randomise_slice(masked, member.tensor, member.dim, member.index_GK[group])
        set_to_zero(masked, readers(family), group)
        assert is_unchanged(before, probe.outputs(masked)), (family.name, group)


@probed(15, FLOWING)
def test_data_flows_between_all_members_of_a_group(spec: Spec) -> None:
    """Check that the pairs of connected writers and readers connect the whole group.

    A reader is connected to a writer if the outputs change with all other readers set to zero.
    """
    probe = Probe(spec)
    for family, group in probe.groups():
        if family.num_groups > 1:
            flows = _flows(probe, family, group)
            atoms = set(_atoms(family.members, group))
            assert _reach(next(iter(atoms)), flows) == atoms, (family.name, group)


def _check_channels_frozen_at_the_output_change_it(probe: Probe) -> None:
    before = probe.outputs(probe.tensors())
    reaching = [f for f in probe.analysis.frozen if "reaches the network's output" in f.pin.reason]
    assert probe.spec.has_tap or [frozen.tensor for frozen in reaching] == ["fc.weight"]
    for frozen in reaching:
        free = {
            int(index)
            for family in probe.analysis.families
            for member in family.members
            if (member.tensor, member.dim) == (frozen.tensor, frozen.dim)
            for index in member.index_GK.flatten()
        }
        indices = set(range(probe.program.tensors[frozen.tensor].shape[frozen.dim])) - free
        assert len(indices) == frozen.num_channels
        for index in sorted(indices):
            changed = probe.tensors()
            probe.randomise_slice(changed, frozen.tensor, frozen.dim, torch.tensor([index]))
            assert has_changed(before, probe.outputs(changed)), (frozen, index)
    assert "fc.weight" in {frozen.tensor for frozen in reaching}


@pytest.mark.parametrize("is_flattened", [False, True])
def test_every_channel_of_a_plain_chain_is_prunable(is_flattened: bool) -> None:
    probe = Probe(Spec(("conv", "conv"), 4, is_flattened, has_tap=False, seed=0))
    sizes = {family.name: family.num_groups for family in probe.analysis.families}
    assert sizes == {"stem.weight": 4, "blocks.0.0.weight": 4, "blocks.1.0.weight": 4}


def _atoms(members: list[Member] | tuple[Member, ...], group: int) -> Iterator[Atom]:
    for member in members:
        for index in member.index_GK[group].tolist():
            yield member.tensor, member.dim, index


def _flows(probe: Probe, family: Family, group: int) -> list[tuple[Atom, Atom]]:
    found = []
    all_readers = list(_atoms(readers(family), group))
    for reader in all_readers:
        alone = probe.tensors()
        for name, dim, index in all_readers:
            if (name, dim, index) != reader:
                alone[name].select(dim, index).zero_()
        before = probe.outputs(alone)
        for writer in _atoms(writers(family), group):
            name, dim, index = writer
            changed = {key: t.clone() if key == name else t for key, t in alone.items()}
            probe.randomise_slice(changed, name, dim, torch.tensor([index]))
            for other in all_readers:
                if other[0] == name and other != reader:
                    changed[name].select(other[1], other[2]).zero_()
            if has_changed(before, probe.outputs(changed)):
                found.append((writer, reader))
    return found


def _reach(start: Atom, flows: list[tuple[Atom, Atom]]) -> set[Atom]:
    reached, frontier = {start}, [start]
    while frontier:
        here = frontier.pop()
        for pair in flows:
            if here in pair:
                new = set(pair) - reached
                reached |= new
                frontier += new
    return reached
