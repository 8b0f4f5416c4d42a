"""Shapes computed in Python equal those of torch's meta kernels."""

import pytest
import torch
from torch import Tensor

from secateur.engine.program import shapes
from secateur.engine.program.known_shapes import known_shape
from tests.fixtures.networks import small_program

aten = torch.ops.aten


def test_most_calls_of_a_network_are_computed_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def count(target: object, args: list[object], kwargs: dict[str, object]) -> Tensor | None:
        found = known_shape(target, args, kwargs)
        asked.append(found is not None)
        return found

    monkeypatch.setattr(shapes, "known_shape", count)
    shapes.propagate(small_program())
    assert sum(asked) > 0.8 * len(asked)


def meta(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(size, dtype=dtype, device="meta")


X, W = meta(2, 8, 6, 6), meta(4, 8, 3, 3)


@pytest.mark.parametrize(
    ("target", "args"),
    [
        (aten.conv2d.default, [X, meta(4, 7, 3, 3)]),
        (aten.conv2d.default, [X, W, meta(5)]),
        (aten.conv2d.default, [X, W, None, [0], [1]]),
        (aten.conv2d.default, [X, W, None, [1, 1, 1], [1]]),
        (aten.conv2d.default, [X, W, None, [1], [-1]]),
        (aten.conv2d.default, [X, W, None, [1], [2**62, 2**62]]),
        (aten.conv2d.default, [X, meta(4, 8, 9, 9)]),
        (aten.conv2d.default, [X, W, None, [1], [0], [1], 3]),
        (aten.conv2d.default, [X, W.double()]),
        (aten.conv2d.default, [X]),
        (aten.linear.default, [X, meta(3, 5)]),
        (aten.linear.default, [X]),
        (aten.add.Tensor, [X, meta(2, 7, 6, 6)]),
        (aten.add.Tensor, [X]),
        (aten.mean.dim, [X, [4]]),
        (aten.mean.dim, [X, [1, 1]]),
        (aten.mean.dim, [X, 2]),
        (aten.cat.default, [[X, meta(2, 8, 5, 6)], 1]),
        (aten.cat.default, [[X, X], 4]),
        (aten.cat.default, [[], 0]),
        (aten.batch_norm.default, [X, *[meta(7)] * 4, False, 0.1, 1e-5, True]),
        (aten.batch_norm.default, [X, *[meta(8)] * 4, True, 0.1, 1e-5, True]),
        (aten.relu.default, [X.transpose(1, 2)]),
        (aten.relu.default, []),
    ],
)
def test_unusual_arguments_are_left_to_torch(target: object, args: list[object]) -> None:
    assert known_shape(target, args, {}) is None
