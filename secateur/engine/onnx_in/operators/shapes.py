"""Operators on shapes: they change a value's shape, or read it as numbers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from secateur.engine.onnx_in.batch import expand_target, reshape_target
from secateur.engine.onnx_in.call import Call, Function, as_operand, aten, is_symbol, static_shape

_aten = torch.ops.aten


def reshape(call: Call) -> Tensor:
    """Reshape; the shape is an attribute before opset 5."""
    x = call.tensor(0)
    sizes = list(call.listed("shape", 1) or [])
    if not call.attribute("allowzero", 0):
        sizes = [x.shape[dim] if size == 0 else size for dim, size in enumerate(sizes)]
    return aten(_aten.reshape.default, x, reshape_target(call, x, sizes))


def flatten(call: Call) -> Tensor:
    """Flatten into two dimensions."""
    x = call.tensor(0)
    axis = call.attribute("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    if axis == 1:
        return aten(_aten.flatten.using_ints, x, 1)
    if axis == 0:
        call.refuse("joins all samples into one row")
    rest = static_shape(call, x, axis)
    return aten(_aten.reshape.default, x, [-1, int(np.prod(rest))])


def squeeze(call: Call) -> Tensor:
    """Squeeze."""
    x = call.tensor(0)
    axes = call.listed("axes", 1)
    if axes is None:
        axes = [dim for dim, size in enumerate(x.shape) if not is_symbol(size) and size == 1]
        if call.batch_size == 1:
            call.refuse("removes every dimension of size 1, also that of the samples")
    dims = sorted(axis % x.dim() for axis in axes)
    if any(is_symbol(x.shape[dim]) for dim in dims):
        call.refuse("removes the dimension of the samples")
    return aten(_aten.squeeze.dims, x, dims)


def unsqueeze(call: Call) -> Tensor:
    """Unsqueeze."""
    x = call.tensor(0)
    axes = list(call.listed("axes", 1) or [])
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = _aten.unsqueeze.default(x, axis)
    return x


def expand(call: Call) -> Tensor:
    """Expand: both shapes broadcast. One number gives a uniform value, which takes any width."""
    x = call.tensor(0)
    target, value = expand_target(call, x, call.numbers(1)), as_operand(call, 0, x.dim())
    if isinstance(value, Tensor):
        return aten(_aten.expand.default, x, target)
    return aten(_aten.full.default, target, value, dtype=x.dtype)


def shape(call: Call) -> np.ndarray:
    """Shape, as known numbers; the batch size is a symbol."""
    sizes = list(call.tensor(0).shape)
    start, end = call.attribute("start", 0), call.attribute("end", len(sizes))
    return known_sizes(sizes[start:end])


def size(call: Call) -> np.ndarray:
    """Size: the number of elements."""
    total: Any = 1
    for each in call.tensor(0).shape:
        total *= each
    return known_sizes([total]).reshape(())


def known_sizes(sizes: list[Any]) -> np.ndarray:
    """Return sizes as an array, of objects if one is the batch size."""
    if not any(map(is_symbol, sizes)):
        return np.array(sizes, dtype=np.int64)
    found = np.empty(len(sizes), dtype=object)
    found[:] = sizes
    return found


def constant_of_shape(call: Call) -> Tensor:
    """ConstantOfShape with the batch size in its shape."""
    value = call.attribute("value")
    number = 0.0 if value is None else value.reshape(-1)[0].item()
    dtype = torch.float32 if value is None else torch.from_numpy(value.copy()).dtype
    return aten(_aten.full.default, call.numbers(0), number, dtype=dtype)


def arange(call: Call) -> Tensor:
    """Range with the batch size in its bounds."""
    return aten(_aten.arange.start_step, *(call.number(index) for index in range(3)))


SHAPES: dict[str, Function] = {
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Expand": expand,
    "Shape": shape,
    "Size": size,
    "ConstantOfShape": constant_of_shape,
    "Range": arange,
}
