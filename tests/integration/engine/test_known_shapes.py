"""Shapes of real networks, computed in Python, equal those of torch's meta kernels."""

import pytest
from torch import Tensor

from secateur.engine.program import shapes
from secateur.engine.program.program import Program
from tests.fixtures.networks import torchvision_program

NAMES = [
    "resnet18",
    "mobilenet_v3_small",
    "densenet121",
    "shufflenet_v2_x0_5",
    "efficientnet_b0",
    "squeezenet1_1",
    "regnet_y_400mf",
    "convnext_tiny",
]


def sizes(program: Program) -> list[object]:
    found: list[object] = []
    for value in shapes.propagate(program).values():
        values = value if isinstance(value, (list, tuple)) else [value]
        for each in values:
            is_tensor = isinstance(each, Tensor)
            found.append((tuple(each.shape), each.dtype) if is_tensor else each)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_computed_shapes_equal_those_of_meta_kernels(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = torchvision_program(name, size=64)
    with_python = sizes(program)
    monkeypatch.setattr(shapes, "known_shape", lambda *_: None)
    assert with_python == sizes(program)
