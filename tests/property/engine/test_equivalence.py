"""Random small networks: masked twin ≡ compacted program, and groups agree with probing."""

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from secateur.engine.graph import analyse
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.module import ProgramModule
from secateur.engine.surgery import certify, compact, mask_program
from tests.fixtures.networks import randomise

KINDS = ("conv", "depthwise", "grouped", "residual", "cat", "split", "shuffle", "pool", "gate")


class RandomNet(nn.Module):
    """A chain of layers drawn from `KINDS`, then a classifier behind pooling or flattening."""

    def __init__(self, kinds: list[str], width: int, *, is_flattened: bool) -> None:
        super().__init__()
        self.kinds, self.is_flattened = kinds, is_flattened
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        layers: list[nn.Module] = []
        channels = width
        for kind in kinds:
            groups = {"depthwise": channels, "grouped": 2}.get(kind, 1)
            inputs = channels // 2 if kind == "split" else channels
            layer = nn.Sequential(
                nn.Conv2d(inputs, inputs if kind == "split" else channels, 3, 1, 1, groups=groups),
                nn.BatchNorm2d(inputs if kind == "split" else channels),
            )
            layers.append(layer)
            channels = 2 * channels if kind == "cat" else channels
        self.layers = nn.ModuleList(layers)
        size = 4 if "pool" in kinds else 8
        self.fc = nn.Linear(channels * size * size if is_flattened else channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        is_pooled = False
        for kind, layer in zip(self.kinds, self.layers, strict=True):
            if kind == "split":
                left, right = x.chunk(2, dim=1)
                x = torch.cat([layer(left), right], dim=1)
                continue
            y = torch.relu(layer(x))
            if kind == "residual":
                x = x + y
            elif kind == "cat":
                x = torch.cat([x, y], dim=1)
            elif kind == "gate":
                x = x * torch.sigmoid(y.mean((2, 3), keepdim=True))
            elif kind == "shuffle":
                n, c, h, w = y.shape
                x = y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
            elif kind == "pool" and not is_pooled:
                x, is_pooled = torch.max_pool2d(y, 2), True
            else:
                x = y
        x = x.flatten(1) if self.is_flattened else x.mean((2, 3))
        logits: torch.Tensor = self.fc(x)
        return logits


networks = st.builds(
    RandomNet,
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    st.sampled_from([4, 8]),
    is_flattened=st.booleans(),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks, st.integers(0, 2**31))
def test_the_masked_twin_equals_the_compacted_network(model: RandomNet, seed: int) -> None:
    program = from_exported(export(randomise(model, seed), (torch.randn(2, 1, 8, 8),)))
    analysis = analyse(program)
    assert analysis.families, "the stem's filters are always prunable"
    generator = torch.Generator().manual_seed(seed)
    keeps = {}
    for family in analysis.families:
        keep = torch.rand(family.num_groups, generator=generator) < 0.5
        keep[0] = True
        keeps[family.name] = keep
    plan = make_plan(program, analysis, keeps)
    smaller = compact(program, analysis, plan)
    certify(mask_program(program, plan), smaller, [program.example_inputs(3, seed % 1000)])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks, st.integers(0, 2**31))
def test_groups_of_label_propagation_agree_with_probing(model: RandomNet, seed: int) -> None:
    """Zero a group's filters and affine slices, then also its consumers' input slices.

    The second step must not change the output, since those slices read only this group.
    """
    program = from_exported(export(randomise(model, seed), (torch.randn(2, 1, 8, 8),)))
    analysis = analyse(program)
    x = program.example_inputs(2)
    for family in analysis.families:
        group = seed % family.num_groups
        own = [m for m in family.members if m.role.name in {"PRODUCER", "AFFINE"}]
        silenced = {name: t.double().clone() for name, t in program.tensors.items()}
        for member in own:
            silenced[member.tensor].index_fill_(member.dim, member.index_GK[group], 0)
        whole = {name: t.clone() for name, t in silenced.items()}
        for member in family.members:
            whole[member.tensor].index_fill_(member.dim, member.index_GK[group], 0)
        inputs = tuple(t.double() for t in x)
        with torch.no_grad():
            first = ProgramModule(program.with_tensors(silenced)).eval().run(inputs)[0]
            second = ProgramModule(program.with_tensors(whole)).eval().run(inputs)[0]
        assert torch.allclose(first, second, rtol=1e-9, atol=1e-9)
