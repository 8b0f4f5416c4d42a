"""Real architectures: compacted program ≡ masked twin, up to rounding errors."""

import pytest
import torch
import torchvision
from torch import Tensor, nn

from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.measure import count_macs, count_parameters
from secateur.engine.plan import make_plan
from secateur.engine.program import shapes
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.surgery import certify, compact, deviation, expand_program, mask_program
from tests.fixtures.networks import program_of

FAMILIES = ["resnet18", "vgg11_bn", "mobilenet_v2", "densenet121"]
# Bottlenecks of grouped convolutions, channel shuffle, squeeze-and-excitation, concatenation.
OTHERS = ["resnext50_32x4d", "shufflenet_v2_x0_5", "efficientnet_b0", "squeezenet1_1"]
MORE = ["mobilenet_v3_small", "regnet_y_400mf", "convnext_tiny"]


@pytest.fixture(scope="module")
def program(request: pytest.FixtureRequest) -> Program:
    """The network of a name, exported once for the tests of this file."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(request.param, num_classes=10)
    if request.param == "vgg11_bn":  # 120 million weights are of no other structure
        model.classifier[0], model.classifier[3] = nn.Linear(512 * 49, 256), nn.Linear(256, 256)
        model.classifier[6] = nn.Linear(256, 10)
    return program_of(model, size=64)


@pytest.mark.parametrize("program", FAMILIES + OTHERS, indirect=True)
def test_the_compacted_network_equals_its_masked_twin(program: Program) -> None:
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


@pytest.mark.parametrize("program", ["resnet18", "vgg11_bn", "mobilenet_v2"], indirect=True)
def test_every_filter_but_the_classifiers_may_go(program: Program) -> None:
    frozen = analyse(program).frozen
    assert [f.pin.reason for f in frozen] == ["reaches the network's output"]


def sizes(program: Program) -> list[object]:
    found: list[object] = []
    for value in shapes.propagate(program).values():
        values = value if isinstance(value, (list, tuple)) else [value]
        for each in values:
            is_tensor = isinstance(each, Tensor)
            found.append((tuple(each.shape), each.dtype) if is_tensor else each)
    return found


@pytest.mark.parametrize("program", FAMILIES + OTHERS + MORE, indirect=True)
def test_shapes_computed_in_python_equal_those_of_torchs_meta_kernels(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_python = sizes(program)
    monkeypatch.setattr(shapes, "known_shape", lambda *_: None)
    assert with_python == sizes(program)
