"""Numbers read out of stored tensors become literals; others are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.errors import UnsupportedOpError
from secateur.engine.graph import analyse
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.functional import op_name
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.reader import read_program
from tests.fixtures.networks import randomise


class Detector(nn.Module):
    """Head that reads the strides of its levels out of a tensor, as YOLO's heads do."""

    strides: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
        self.register_buffer("strides", torch.tensor([8.0, 16.0]))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.stem(x))
        scale = y.new_full((1, 1, 8, 8), (self.strides[1] * 2).item())
        y = y * scale + y.new_zeros((1, 8, 8, 8))
        size = x.shape[0] / x.shape[0]
        boxes: Tensor = self.head(y) * size
        return boxes


def test_the_strides_of_a_detector_become_literals(tmp_path: Path) -> None:
    model, x = randomise(Detector()), torch.randn(3, 1, 8, 8)
    exported = export(model, (x,))
    torch.export.save(exported, tmp_path / "detector.pt2")
    for program in (read_program(tmp_path / "detector.pt2"), from_exported(exported)):
        names = {op_name(n.target) for n in program.graph.nodes if n.op == "call_function"}
        assert "item" not in names
        torch.testing.assert_close(ProgramModule(program).eval()(x), model(x))
        assert [(f.name, f.num_groups) for f in analyse(program).families] == [("stem.weight", 8)]


class Number(nn.Module):
    """Module that multiplies by a number."""

    buffer: Tensor

    def __init__(self, read: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.read = read
        self.register_buffer("buffer", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.read(x, self.buffer).item()


def written(_x: Tensor, buffer: Tensor) -> Tensor:
    copied = buffer.clone()
    copied[0] = 5
    return copied[1:].sum()


@pytest.mark.parametrize(
    "read",
    [
        lambda x, _buffer: x.mean(),
        lambda _x, buffer: buffer.expand(10**9, 3).sum(),
        lambda _x, buffer: (buffer.expand(10**4, 3) * 2).sum(),
        lambda _x, buffer: torch.linalg.vector_norm(buffer),
        written,
    ],
    ids=["the input", "a huge view", "a large value", "another operator", "a written tensor"],
)
def test_a_number_from_anything_else_is_refused(read: Callable[[Tensor, Tensor], Tensor]) -> None:
    exported = export(Number(read), (torch.randn(2, 3),))
    with pytest.raises(UnsupportedOpError, match=r"item.default .*a number out of a tensor"):
        from_exported(exported)
