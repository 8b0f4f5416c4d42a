"""Small networks whose operators hold or compute much inside are refused by the limits."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.errors import ModelTooLargeError
from secateur.engine.measure import count_macs
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.footprint import check_cost
from secateur.engine.program.limits import ModelLimits
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import propagate


class Net(nn.Module):
    def __init__(self, function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        for number, shape in enumerate(shapes):
            self.register_buffer(f"b{number}", torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.buffers())


def program_of(net: Net, *shape: int) -> Program:
    return from_exported(export(net, (torch.zeros(2, *shape),)))


def broadcast(x: Tensor, a: Tensor) -> Tensor:
    return torch.matmul(x[:, None, None], a).sum((1, 2, 3))


def contract(x: Tensor, a: Tensor) -> Tensor:
    return torch.einsum("ni,nj,nk,nl,ijkl->n", x, x, x, x, a)[:, None]


def attend(x: Tensor) -> Tensor:
    q = x[:, None, :, None].expand(-1, 1, 6000, 1)
    return nn.functional.scaled_dot_product_attention(q, q, q).mean((1, 2))


def convolve(x: Tensor, a: Tensor) -> Tensor:
    return nn.functional.conv2d(x.double(), a.double()).float().mean((2, 3))


LARGE = {
    "a matmul that copies both operands": (Net(broadcast, (400, 256, 2)), (64, 256)),
    "an einsum with large products between": (Net(contract, (48,) * 4), (48,)),
    "attention over a long sequence": (Net(attend), (1,)),
    "a convolution as a matrix": (Net(convolve, (1, 1, 31, 31)), (1, 160, 160)),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_an_operator_holds_inside_is_limited(name: str) -> None:
    net, shape = LARGE[name]
    program = program_of(net, *shape)
    with pytest.raises(ModelTooLargeError, match="bytes for its values"):
        check_cost(program, propagate(program), ModelLimits(activation_bytes=32 * 2**20))


def test_work_inside_an_einsum_is_limited() -> None:
    program = program_of(Net(contract, (40,) * 4), 40)
    with pytest.raises(ModelTooLargeError, match="multiply-accumulates"):
        check_cost(program, propagate(program), ModelLimits(macs=40**4))


def test_an_operand_of_size_one_does_not_make_an_einsum_cheaper() -> None:
    def meet(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return torch.einsum("ni,ij,j->nj", x, a, b)

    program = program_of(Net(meet, (16, 32), (1,)), 16)
    assert count_macs(program) == 16 * 32 + 32  # two contractions, of 16 x 32 and of 32
