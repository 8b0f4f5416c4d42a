"""All names that modules may have survive reading, writing and ONNX."""

import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from secateur.engine.export.onnx import compare_onnx, export_onnx
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.reader import read_program
from secateur.engine.program.writer import write_program

# The last are names of `ProgramModule`'s own methods and attributes.
NAMES = "a-b|a_b|größe|layer 1|a+b|a:b|日本|0|start|outputs|steps|run|program|tensor".split("|")


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name in NAMES:
            self.add_module(name, nn.Linear(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        for name in NAMES:
            x = self._modules[name](x)  # type: ignore[misc]
        return x


class Exported(nn.Module):
    """Weights with the names that torch's ONNX exporter gives to values that it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = [*(f"val_{n}" for n in range(60)), "mul", "view", "x", "output_0"]
        for name in self.weights:
            self.register_parameter(name, nn.Parameter(torch.randn(4)))

    def forward(self, x: Tensor) -> Tensor:
        for name in self.weights:
            x = x * self._parameters[name]
        pairs = x.unflatten(1, (1, 2, 2))
        return nn.functional.scaled_dot_product_attention(pairs, pairs, pairs).flatten(1)


def test_weights_may_have_names_that_the_exporter_gives_to_values(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Exported().eval(), torch.randn(2, 4)
    program = from_exported(export(model, (x,)))
    export_onnx(program, tmp_path / "model.onnx")
    assert compare_onnx(program, tmp_path / "model.onnx", [(x,)]) < 1e-6
    stored = {tensor.name for tensor in onnx.load(tmp_path / "model.onnx").graph.initializer}
    assert {*model.weights, "x__1"} - {"x"} <= stored


def test_names_of_modules_come_through(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Named().eval(), torch.randn(2, 2)
    path, again = tmp_path / "model.pt2", tmp_path / "again.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.export.save(export(model, (x,)), path)
    program = read_program(path)
    write_program(program, again)
    assert list(program.tensors) == list(model.state_dict())
    assert list(read_program(again).tensors) == list(model.state_dict())
    for read in (program, read_program(again)):
        assert torch.equal(ProgramModule(read).eval()(x), model(x))
    export_onnx(program, tmp_path / "model.onnx")
    assert compare_onnx(program, tmp_path / "model.onnx", [(x,)]) < 1e-6
