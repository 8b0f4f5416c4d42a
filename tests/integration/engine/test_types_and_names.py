"""Types, names and nesting of the user's file survive pruning and every export."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from secateur.engine.errors import ExportError
from secateur.engine.export.onnx import compare_onnx, export_onnx
from secateur.engine.export.session import OnnxSession
from secateur.engine.measure import compare_latency
from secateur.engine.program.precision import as_stored
from secateur.engine.program.program import Program
from secateur.engine.program.reader import read_program
from secateur.engine.program.structure import output_names, unique
from secateur.engine.program.writer import write_program
from tests.fixtures.networks import randomise

X = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
Answer = Callable[..., Any]


class Net(nn.Module):
    """Convolution, BatchNorm and a classifier, combined by a given function."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)
        self.answer = answer

    def scores(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc(torch.relu(self.bn(self.conv(x))).mean((2, 3)))
        return found


class OneInput(Net):
    """Model with one input."""

    def forward(self, image: Tensor) -> Any:
        return self.answer(self, image)


class Pair(Net):
    """Two arguments, one by keyword, whose names are also names of operators."""

    def forward(self, relu: Tensor, *, conv2d: Tensor) -> Any:
        return {"relu": self.scores(relu) - self.scores(conv2d), "fc.bias": self.scores(relu)}


class Nested(Net):
    """Dict that contains a list, and further arguments."""

    def forward(self, batch: dict[str, Any], *others: Tensor) -> Any:
        one, two = batch["image"], batch["crops"][0]
        first = OrderedDict(a=self.scores(one), b=[self.scores(two), self.scores(others[0])])
        return first, one


def saved(net: nn.Module, path: Path, *args: Any, **kwargs: Any) -> Program:
    """Export as a user does, and read the file as the service does."""
    batch = {0: torch.export.Dim("batch", min=1)}
    names = list(net.forward.__annotations__)
    given = dict(zip(names, args, strict=False))
    if len(args) > 1 and isinstance(net, Nested):
        given["others"] = args[1:]
    shapes = pytree.tree_map_only(Tensor, lambda _: batch, {**given, **kwargs})
    exported = torch.export.export(net.eval(), args, kwargs, dynamic_shapes=shapes)
    torch.export.save(exported, path)
    return read_program(path)


def types(values: Any) -> list[torch.dtype]:
    return [value.dtype for value in pytree.tree_leaves(values)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_computed_in_float32_and_stored_as_they_were(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    net = randomise(OneInput(lambda net, x: net.scores(x))).to(dtype)
    x = X.to(dtype)
    program = saved(net, tmp_path / "a.pt2", x)
    assert {t.dtype for t in program.parameters().values()} == {torch.float32}
    assert program.inputs[0].dtype is torch.float32
    assert program.inputs[0].given_dtype is dtype
    write_program(program, tmp_path / "b.pt2")
    with torch.no_grad():
        wanted = net(x)
        again = torch.export.load(tmp_path / "b.pt2").module()(x)
    assert (again.dtype, torch.equal(again, wanted)) == (dtype, True)
    export_onnx(program, tmp_path / "a.onnx")
    compare_onnx(program, tmp_path / "a.onnx", [program.example_inputs(3), (X,)])
    (found,) = OnnxSession(tmp_path / "a.onnx")([x])
    assert found.dtype is dtype
    close = 4 * max(torch.finfo(dtype).eps, 1e-6)
    torch.testing.assert_close(found.double(), wanted.double(), rtol=close, atol=close)
    measured = compare_latency([tmp_path / "a.onnx"], program.inputs, [1], seconds=0.001)
    assert measured.latencies[0][0].p50_seconds > 0
    smaller = as_stored(program.map_tensors(lambda t: t * 1.0001 if t.is_floating_point() else t))
    weight = smaller.tensors["conv.weight"]
    assert torch.equal(weight, weight.to(dtype).float()), "rounded to the file's type"


def test_half_of_a_network_may_be_half_precision(tmp_path: Path) -> None:
    def answer(net: Net, x: Tensor) -> Any:
        inner = torch.relu(net.bn(net.conv(x.half())))
        return net.fc(inner.mean((2, 3)).float()), inner.half()

    net = randomise(OneInput(answer))
    net.conv.half()
    net.bn.half()
    program = saved(net, tmp_path / "a.pt2", X)
    assert dict(program.own_output_types) == {1: torch.float16}
    write_program(program, tmp_path / "b.pt2")
    with torch.no_grad():
        wanted, again = net(X), torch.export.load(tmp_path / "b.pt2").module()(X)
    assert types(again) == types(wanted) == [torch.float32, torch.float16]
    assert torch.equal(again[0], wanted[0])
    export_onnx(program, tmp_path / "a.onnx")
    compare_onnx(program, tmp_path / "a.onnx", [(X,)])
    assert types(OnnxSession(tmp_path / "a.onnx")([X])) == [torch.float32, torch.float16]


def test_outputs_that_are_not_floating_point_are_compared_exactly(
    tmp_path: Path,
) -> None:
    def answer(net: Net, x: Tensor) -> Any:
        scores = net.scores(x)
        pixels = (scores.sigmoid() * 255).round().to(torch.uint8)
        return {"mask": scores > 0, "best": scores.argmax(1), "pixels": pixels, "none": None}

    program = saved(randomise(OneInput(answer)), tmp_path / "a.pt2", X)
    export_onnx(program, tmp_path / "a.onnx")
    assert compare_onnx(program, tmp_path / "a.onnx", [(X,)]) == 0
    session = ort.InferenceSession(tmp_path / "a.onnx")
    assert [value.name for value in session.get_outputs()] == ["mask", "best", "pixels"]
    other = program.map_tensors(lambda t: -t if t.is_floating_point() and t.ndim > 1 else t)
    with pytest.raises(ExportError, match=r"output '\w+' of the ONNX file differs .* values"):
        compare_onnx(other, tmp_path / "a.onnx", [(X,)])


def test_a_file_that_onnx_runtime_cannot_run_is_an_export_error(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(ExportError, match="ONNX Runtime cannot run"):
        OnnxSession(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("kind", "args", "kwargs", "inputs", "outputs"),
    [
        (Pair, (X,), {"conv2d": X + 1}, ["relu", "conv2d"], ["relu_2", "fc.bias"]),
        (
            Nested,
            ({"image": X, "crops": [X + 1]}, X + 2),
            {},
            ["batch_image", "batch_crops_0", "others_0"],
            ["output_0_a", "output_0_b_0", "output_0_b_1", "output_1"],
        ),
    ],
)
def test_names_and_nesting_are_those_of_the_file(
    kind: type[Net],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    inputs: list[str],
    outputs: list[str],
    tmp_path: Path,
) -> None:
    net = randomise(kind(lambda *_: None))
    program = saved(net, tmp_path / "a.pt2", *args, **kwargs)
    write_program(program, tmp_path / "b.pt2")
    again = read_program(tmp_path / "b.pt2")
    assert (again.call, again.input_names) == (program.call, program.input_names)
    with torch.no_grad():
        wanted = net(*args, **kwargs)
        found = torch.export.load(tmp_path / "b.pt2").module()(*args, **kwargs)
    assert pytree.tree_structure(found) == pytree.tree_structure(wanted)
    torch.testing.assert_close(found, wanted)
    export_onnx(program, tmp_path / "a.onnx")
    session = ort.InferenceSession(tmp_path / "a.onnx")
    assert [value.name for value in session.get_inputs()] == inputs
    assert [value.name for value in session.get_outputs()] == outputs
    flat = [x.numpy() for x in pytree.tree_leaves((args, kwargs))]
    given = session.run(outputs, dict(zip(inputs, flat, strict=True)))
    for one, other in zip(given, pytree.tree_leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-5)


def test_names_are_unique_and_printable() -> None:
    tree = pytree.tree_structure({"a": [0, 0], "a_0": 0, "b\n": 0, 7: 0})
    assert output_names(tree, taken=["b_"]) == ("a_0", "a_1", "a_0_2", "b__2", "7")
    assert unique(["x", "x", "x"]) == ("x", "x_2", "x_3")
