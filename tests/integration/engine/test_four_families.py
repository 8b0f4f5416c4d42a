"""Real architectures: compacted program ≡ masked twin, up to rounding errors."""

import pytest
import torch

from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.measure import count_macs, count_parameters
from secateur.engine.plan import make_plan
from secateur.engine.program.module import ProgramModule
from secateur.engine.surgery import certify, compact, deviation, expand_program, mask_program
from tests.fixtures.networks import torchvision_program

FAMILIES = ["resnet18", "resnet50", "vgg11_bn", "mobilenet_v2", "densenet121"]
# Grouped convolutions, channel shuffle, squeeze-and-excitation, concatenation.
OTHERS = ["resnext50_32x4d", "shufflenet_v2_x0_5", "efficientnet_b0", "squeezenet1_1"]


@pytest.mark.parametrize("name", FAMILIES + OTHERS)
def test_the_compacted_network_equals_its_masked_twin(name: str) -> None:
    program = torchvision_program(name, 64 if name != "vgg11_bn" else 32)
    analysis = analyse(program)
    generator = torch.Generator().manual_seed(0)
    keeps = {}
    for family in analysis.families:
        keep = torch.zeros(family.num_groups, dtype=torch.bool)
        order = torch.randperm(family.num_groups, generator=generator)
        keep[order[: max(1, family.num_groups // 2)]] = True
        keeps[family.name] = keep
    plan = make_plan(program, analysis, keeps)
    smaller = compact(program, analysis, plan)
    twin = mask_program(program, plan)
    batches = [program.example_inputs(2)]
    certificate = certify(twin, smaller, batches)
    assert certificate.is_exact
    assert certificate.float64.max_relative_error <= 1e-9
    assert certificate.float32.max_relative_error <= 1e-5
    # The comparison means something: the output is alive, and not that of the dense network.
    assert deviation(program, twin, batches, torch.float64).max_relative_error > 1e-6
    with torch.no_grad():
        output = ProgramModule(twin).eval().run(program.example_inputs(4))[0]
    assert output.std(0).max() > 0
    cost = CostModel(program, analysis)
    assert cost.macs(keeps) == count_macs(smaller)
    assert cost.params(keeps) == count_parameters(smaller)
    assert cost.macs(keeps) < 0.45 * cost.macs({})
    expanded = expand_program(program, plan, smaller)
    assert all(torch.equal(t, expanded.tensors[k]) for k, t in twin.tensors.items())


def test_every_filter_but_the_classifiers_may_go() -> None:
    for name in ("resnet18", "vgg11_bn", "mobilenet_v2"):
        frozen = analyse(torchvision_program(name)).frozen
        assert [f.pin.reason for f in frozen] == ["reaches the network's output"]
