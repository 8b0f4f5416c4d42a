import pytest
import torch
from torch import nn

from secateur.engine.program.exported import export, from_exported
from secateur.engine.retrain import RetrainOptions, retrain_program
from secateur.engine.retrain.safe_convolution import CONV2D, conv2d
from tests.unit.engine.retrain.networks import small_data


@pytest.mark.parametrize("stride", [[2, 2], [1, 3], [1, 1]])
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (1, 1), (3, 1)])
def test_it_computes_what_aten_computes(stride: list[int], kernel: int, padding: int) -> None:
    x, weight = torch.randn(2, 3, 7, 8), torch.randn(5, 3, kernel, kernel)
    arguments = (x, weight, None, stride, [padding, padding])
    torch.testing.assert_close(conv2d(*arguments), CONV2D(*arguments))


def test_the_gradient_of_a_narrow_strided_shortcut_is_right() -> None:
    """oneDNN's own kernel corrupts the heap here on AVX2 (uxlfoundation/oneDNN#6035)."""
    torch.manual_seed(0)
    x = torch.randn(64, 2, 14, 14).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(12, 2, 1, 1).requires_grad_()
    for _ in range(20):
        (found,) = torch.autograd.grad(conv2d(x, weight, None, [2, 2]).square().sum(), weight)
    wide = weight.detach().double().requires_grad_()
    exact = torch.einsum("nihw,oi->nohw", x.double()[:, :, ::2, ::2], wide[:, :, 0, 0])
    (expected,) = torch.autograd.grad(exact.square().sum(), wide)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)


def test_training_uses_it() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 8, 1, 2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip
    program = from_exported(export(net.eval(), (torch.randn(2, 1, 8, 8),)))
    result = retrain_program(program, small_data(), RetrainOptions(epochs=3, batch_size=16))
    assert all(bool(torch.isfinite(t).all()) for t in result.program.tensors.values())
