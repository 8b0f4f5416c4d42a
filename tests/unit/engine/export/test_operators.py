"""Exports use one table of operators; it is made by a private part of torch that may change."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.onnx._internal.exporter import _registration

from secateur.engine.export import operators
from secateur.engine.export.onnx import export_onnx
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program


@pytest.fixture(scope="module")
def program() -> Program:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten()).eval()
    return from_exported(export(net, (torch.zeros(2, 1, 4, 4),)))


def test_a_second_export_makes_no_table(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_onnx(program, tmp_path / "first.onnx")
    num_made = 0
    make = _registration.OnnxDecompMeta.__post_init__

    def count(self: _registration.OnnxDecompMeta) -> None:
        nonlocal num_made
        num_made += 1
        make(self)

    monkeypatch.setattr(_registration.OnnxDecompMeta, "__post_init__", count)
    export_onnx(program, tmp_path / "second.onnx")
    assert num_made == 0
    assert (tmp_path / "second.onnx").read_bytes() == (tmp_path / "first.onnx").read_bytes()


def test_other_exports_of_the_process_are_not_changed(program: Program, tmp_path: Path) -> None:
    before = _registration.ONNXRegistry.from_torchlib
    export_onnx(program, tmp_path / "model.onnx")
    assert _registration.ONNXRegistry.from_torchlib == before


def test_what_one_export_adds_to_its_table_stays_there() -> None:
    with operators.operators_kept():
        first, second = (_registration.ONNXRegistry.from_torchlib(opset_version=18) for _ in "12")
    first.register_op(torch.ops.aten.relu.default, lambda x: x)
    assert len(first.functions["aten::relu"]) == 1 + len(second.functions["aten::relu"])


def test_a_table_is_made_anew_when_another_library_is_loaded() -> None:
    """Torch leaves out the operators of libraries that are not loaded, such as torchvision."""
    with operators.operators_kept():
        before = _registration.ONNXRegistry.from_torchlib(opset_version=18)
        library = torch.library.Library("secateur_test", "DEF")
        library.define("twice(Tensor x) -> Tensor")
        after = _registration.ONNXRegistry.from_torchlib(opset_version=18)
        again = _registration.ONNXRegistry.from_torchlib(opset_version=18)
    (first,), (second,), (third,) = (
        each.functions["aten::relu"] for each in (before, after, again)
    )
    assert first is not second
    assert second is third
