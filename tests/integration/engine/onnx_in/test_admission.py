"""Differences from ONNX Runtime: rounding is admitted with a note, a wrong node is refused."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto

from secateur.engine.errors import ModelRejectedError
from secateur.engine.onnx_in import importer
from secateur.engine.onnx_in.call import Call
from secateur.engine.onnx_in.operators.table import OPERATORS
from secateur.engine.onnx_in.reader import read_onnx
from tests.fixtures.onnx_graphs import drawn, network, node, saved

# A detector that finds nothing in noise: its largest probability is 4e-4.
_BIAS = np.full(4, -9.0, np.float32)


def detector(*, batch: int | str = "n") -> ModelProto:
    weights = {"w": drawn(4, 3, 3, 3) / 4, "b": _BIAS}
    return network(
        node("Conv", "x w b", "c"),
        node("HardSwish", "x", "h"),
        node("ReduceMean", "h", "m", axes=[1, 2, 3], keepdims=1),
        node("Add", "c m", "s"),
        node("Sigmoid", "s"),
        weights=weights,
        x=(batch, 3, 8, 8),
        opset=17,
    )


def changed(operator: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Mapping[str, Any]:
    right = OPERATORS[operator]

    def wrong(call: Call) -> torch.Tensor:
        return change(right(call))

    return {**OPERATORS, operator: wrong}


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_a_sigmoid_near_zero_is_admitted_with_a_note(batch: int | str, tmp_path: Path) -> None:
    program = read_onnx(saved(detector(batch=batch), tmp_path))

    assert program.origin is not None
    assert any("rounding" in note and "'y'" in note for note in program.origin.notes)


@pytest.mark.parametrize(
    ("operator", "change"),
    {
        "HardSwish": lambda x: x * 1.00003,
        "Add": lambda x: x + 2e-4,
        "Conv": lambda x: torch.cat([x[:, :1] * 1.00005, x[:, 1:]], 1),
        "Sigmoid": lambda x: x * 1.001,
    }.items(),
)
def test_a_node_that_is_slightly_wrong_is_refused(
    operator: str,
    change: Callable[[torch.Tensor], torch.Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importer, "OPERATORS", changed(operator, change))

    with pytest.raises(ModelRejectedError, match=rf"\({operator}\) is the first that differs"):
        read_onnx(saved(detector(), tmp_path))


def test_a_wrong_node_of_a_file_for_four_samples_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "OPERATORS", changed("Add", lambda x: x + 2e-4))

    with pytest.raises(ModelRejectedError, match=r"\(Add\) is the first that differs"):
        read_onnx(saved(detector(batch=4), tmp_path))
