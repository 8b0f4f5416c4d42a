"""Files made for one sample, or for a fixed number, for any number of samples.

Such a file has its number where the batch size belongs: in the shapes of Reshape and Expand, and in
constants that are joined with the samples. While the network is exported, the batch size is a
symbol, so the dimension that carries it is known for every value. `admission` compares the result
with the file, for as many samples at a time as it takes.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from secateur.engine.onnx_in.call import Call, aten, is_symbol

_aten = torch.ops.aten


def batch_dimension(x: Tensor) -> int | None:
    """Return the dimension of ``x`` whose size depends on the batch, or None."""
    return next((dim for dim, size in enumerate(x.shape) if is_symbol(size)), None)


def reshape_target(call: Call, x: Tensor, sizes: Sequence[Any]) -> list[Any]:
    """Return the shape of a Reshape for any number of samples.

    Where ``x`` has the samples behind sizes with the product p, the target has them at the place
    where the product of its sizes reaches p.
    """
    at = batch_dimension(x)
    own = call.batch_size
    if own is None or at is None or any(map(is_symbol, sizes)):
        return list(sizes)
    factor = _per_sample(x, at)
    batch = x.shape[at] // factor
    target = list(sizes)
    num_elements = own * factor * prod(size for dim, size in enumerate(x.shape) if dim != at)
    if -1 in target:
        rest = prod(size for size in target if size != -1)
        target[target.index(-1)] = num_elements // rest if rest else 0
    if prod(target) != num_elements:
        call.refuse(f"has the shape {list(sizes)}, which does not fit its input")
    before, reached = prod(x.shape[:at]), 1
    for dim, size in enumerate(target):
        if reached == before and size % own == 0:
            target[dim] = batch if size == own else batch * (size // own)
            return target
        reached *= size
    return call.refuse(
        f"has the shape {list(sizes)}, which mixes the sample with other dimensions, so the "
        "network cannot take several samples"
    )


def _per_sample(x: Tensor, at: int) -> int:
    """Return how many rows of dimension ``at`` belong to one sample."""
    size: Any = x.shape[at]
    expression = size.node.expr
    coefficient = expression.as_coeff_Mul()[0]
    return int(coefficient)


def expand_target(call: Call, x: Tensor, sizes: Sequence[Any]) -> list[Any]:
    """Return the shape to which ``x`` is expanded: both shapes broadcast."""
    rank = max(x.dim(), len(sizes))
    own = [1] * (rank - x.dim()) + list(x.shape)
    wanted = [1] * (rank - len(sizes)) + list(sizes)
    return [
        size if _is_one(call, size, want) else want for size, want in zip(own, wanted, strict=True)
    ]


def _is_one(call: Call, size: Any, want: Any) -> bool:  # noqa: ANN401  # sizes or symbols
    """Return whether a size that is asked for leaves the value's own."""
    if is_symbol(want):
        return False
    return bool(want == 1 or (is_symbol(size) and want == call.batch_size))


def give_batch(call: Call, parts: list[Tensor], axis: int) -> list[Tensor]:
    """Repeat constants that are joined with values of all samples: their first row for each."""
    at = next((found for found in map(batch_dimension, parts) if found is not None), None)
    if at is None or call.batch_size is None:
        return parts
    if at == axis:
        call.refuse("joins values along the samples")
    batch = next(part.shape[at] for part in parts if is_symbol(part.shape[at]))
    return [part if is_symbol(part.shape[at]) else repeated(part, at, batch) for part in parts]


def repeated(constant: Tensor, dim: int, batch: Any) -> Tensor:  # noqa: ANN401  # a symbol
    """Return the first row of a constant for every sample."""
    row = constant if constant.shape[dim] == 1 else _aten.narrow.default(constant, dim, 0, 1)
    sizes = [batch if d == dim else size for d, size in enumerate(row.shape)]
    return aten(_aten.expand.default, row, sizes)
