"""Calls of the operators that hold more than their result, on random shapes of a few megabytes."""

from collections.abc import Callable
from random import Random
from typing import Any

import torch
import torchvision  # noqa: F401  # registers its operators
from torch import Tensor

Call = tuple[Callable[..., Any], list[Any]]

_aten = torch.ops.aten
_FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def _matmul(r: Random) -> Call:
    a, b, n = r.randint(10, 30), r.randint(10, 30), r.choice([8, 16, 24])
    return _aten.matmul.default, [_x(a, 1, n, 512), _x(1, b, 512, n)]


def _einsum(r: Random) -> Call:
    i, j, k, n = (r.randint(24, 40) for _ in range(4))
    factors = [_x(2, size) for size in (i, j, k, n)]
    return _aten.einsum.default, ["ni,nj,nk,nl,ijkl->n", [*factors, _x(i, j, k, n)]]


def _einsum_of_size_one(r: Random) -> Call:
    i, j = r.randint(1000, 2000), r.randint(1000, 2000)
    return _aten.einsum.default, ["ij,ij,j->i", [_x(i, j), _x(i, 1), _x(j)]]


def _attention(r: Random) -> Call:
    heads, length, width = r.randint(1, 3), r.randint(800, 1500), r.choice([8, 16])
    return _aten.scaled_dot_product_attention.default, [_x(2, heads, length, width)] * 3


def _masked_attention(r: Random) -> Call:
    target, (q, *_rest) = _attention(r)
    return target, [q, q, q, torch.ones(q.shape[2], q.shape[2], dtype=torch.bool)]


def _conv2d(r: Random) -> Call:
    size, width, groups = r.choice([3, 5, 7, 9]), r.choice([1, 3, 8, 32]), 1
    x = _x(2, width, r.randint(64, 128), r.randint(64, 128)).to(r.choice(_FLOATS))
    if r.random() < 0.3:
        groups = width
    weight = _x(width * r.choice([1, 2]), width // groups, size, size).to(x.dtype)
    stride, padding, dilation = r.choice([1, 2]), r.choice([0, size // 2, 40]), r.choice([1, 3])
    return _aten.conv2d.default, [
        x, weight, None, [stride, stride], [padding, padding], [dilation, dilation], groups,
    ]  # fmt: skip


def _conv3d(r: Random) -> Call:
    x = _x(2, 8, 16, 32, r.randint(24, 32)).to(r.choice(_FLOATS[:2]))
    return _aten.conv3d.default, [x, _x(8, 8, 3, 5, 5).to(x.dtype), None, [1] * 3, [1, 2, 2]]


def _conv_transpose2d(r: Random) -> Call:
    x = _x(2, 32, r.randint(48, 64), 64).to(r.choice(_FLOATS[:2]))
    weight = _x(32, r.choice([8, 32]), 4, 4).to(x.dtype)
    return _aten.conv_transpose2d.input, [x, weight, None, [2, 2], [1, 1]]


def _expanded_convolution(r: Random) -> Call:
    x = _x(2, 1, 96, r.randint(64, 96)).expand(2, 64, 96, -1)
    return _aten.conv2d.default, [x, _x(64, 64, 3, 3), None, [1, 1], [1, 1]]


def _deform_conv2d(r: Random) -> Call:
    height, c = r.randint(48, 96), r.choice([16, 32])
    args = [_x(2, c, height, 64), _x(c, c, 3, 3), _x(2, 18, height, 64), _x(2, 9, height, 64)]
    return torch.ops.torchvision.deform_conv2d.default, [*args, _x(c), *[1] * 8, True]


def _recurrent(target: Callable[..., Any], gates: int) -> Callable[[Random], Call]:
    def make(r: Random) -> Call:
        hidden, is_double = r.choice([64, 128]), r.random() < 0.5
        ways, height = (2 if is_double else 1), gates * hidden
        weights = [_x(height, 64), _x(height, hidden), _x(height), _x(height)] * ways
        state = _x(ways, 16, hidden)
        first = [state, state] if gates == 4 else state
        steps = r.randint(200, 300)
        return target, [
            _x(steps, 16, 64), first, weights, True, 1, 0.0, False, is_double, False,
        ]  # fmt: skip

    return make


def _flat(target: Callable[..., Any], *rest: Any) -> Callable[[Random], Call]:
    """Return a maker of calls with one long vector."""
    return lambda r: (target, [_x(r.randint(2**20, 2**21)), *rest])


def _matrix(target: Callable[..., Any], *rest: Any) -> Callable[[Random], Call]:
    return lambda r: (target, [_x(r.randint(1000, 2000), 1024), *rest])


def _square(target: Callable[..., Any], *rest: Any) -> Callable[[Random], Call]:
    def make(r: Random) -> Call:
        size = r.randint(200, 250)
        return target, [_x(4, size, size) / size + torch.eye(size), *rest]

    return make


def _image(target: Callable[..., Any], *rest: Any) -> Callable[[Random], Call]:
    return lambda r: (target, [_x(2, 64, r.randint(64, 128), 128), *rest])


def _pair(target: Callable[..., Any], *rest: Any) -> Callable[[Random], Call]:
    return lambda r: (target, [_x(2, r.randint(800, 1500), 64), _x(2, 1000, 64), *rest])


def _grid(r: Random) -> Call:
    mode = r.choice([0, 1, 2])
    return _aten.grid_sampler.default, [_x(2, 16, 64, 64), _x(2, 256, 200, 2), mode, 0, True]


def _gather(r: Random) -> Call:
    rows = r.randint(1000, 2000)
    return _aten.gather.default, [_x(rows, 512), 0, torch.zeros(rows, 512, dtype=torch.int64)]


def _indexed(r: Random) -> Call:
    rows = torch.zeros(r.randint(1000, 2000), 1, dtype=torch.int64)
    return _aten.index.Tensor, [_x(100, 100), [rows, torch.zeros(1, 900, dtype=torch.int64)]]


def _one_hot(r: Random) -> Call:
    return _aten.one_hot.default, [torch.zeros(r.randint(500, 1000), dtype=torch.int64), 999]


def _trilinear(r: Random) -> Call:
    n = r.randint(50, 100)
    args = [_x(n, 64), _x(64, 96), _x(n, 96), [2], [0], [1], [1]]
    return _aten._trilinear.default, args  # it occurs in exports


def _bilinear(r: Random) -> Call:
    n = r.randint(1000, 2000)
    return _aten.bilinear.default, [_x(n, 32), _x(n, 32), _x(48, 32, 32)]


def _typed(r: Random) -> Call:
    rows = r.randint(1000, 2000)
    return _aten.add.Tensor, [_x(rows, 1024), torch.ones(rows, 1024, dtype=torch.int64)]


def _x(*shape: int) -> Tensor:
    return torch.randn(shape)


OPERATORS: dict[str, Callable[[Random], Call]] = {
    "matmul": _matmul,
    "einsum": _einsum,
    "einsum of size one": _einsum_of_size_one,
    "attention": _attention,
    "masked attention": _masked_attention,
    **{f"conv2d {number}": _conv2d for number in range(12)},
    **{f"conv3d {number}": _conv3d for number in range(2)},
    **{f"conv_transpose2d {number}": _conv_transpose2d for number in range(2)},
    "convolution of an expanded image": _expanded_convolution,
    "deform_conv2d": _deform_conv2d,
    "lstm": _recurrent(_aten.lstm.input, 4),
    "gru": _recurrent(_aten.gru.input, 3),
    "rnn": _recurrent(_aten.rnn_tanh.input, 1),
    "sort": _flat(_aten.sort.default),
    "topk": _flat(_aten.topk.default, 1),
    "topk of many": _flat(_aten.topk.default, 2**19),
    "kthvalue": _flat(_aten.kthvalue.default, 7),
    "median": _flat(_aten.median.dim, 0),
    "nanmedian": _flat(_aten.nanmedian.default),
    "mode": _flat(_aten.mode.default),
    "fft": lambda r: (_aten.fft_fft.default, [_x(2, r.choice([600_011, 2**20 - 3, 2**20]))]),
    "rfft": lambda r: (_aten.fft_rfft.default, [_x(2, r.choice([600_011, 2**20 - 3, 2**20]))]),
    "fft2": _image(_aten.fft_fft2.default),
    "softmax": _image(_aten.softmax.int, 1),
    "log_softmax": _matrix(_aten.log_softmax.int, 0),
    "layer_norm": _matrix(_aten.layer_norm.default, [1024]),
    "group_norm": _image(_aten.group_norm.default, 8),
    "cumsum": _matrix(_aten.cumsum.default, 0),
    "cummax": _matrix(_aten.cummax.default, 0),
    "logsumexp": _matrix(_aten.logsumexp.default, [0]),
    "var": _matrix(_aten.var.correction, [0]),
    "norm": _matrix(_aten.linalg_vector_norm.default, 3),
    "trapezoid": _matrix(_aten.trapezoid.dx),
    "repeat_interleave": _matrix(_aten.repeat_interleave.self_int, 3, 1),
    "isin": lambda r: (_aten.isin.Tensor_Tensor, [_x(r.randint(2**19, 2**20)), _x(2**19)]),
    "svd": _square(_aten.linalg_svd.default),
    "eigh": _square(_aten.linalg_eigh.default),
    "qr": _square(_aten.linalg_qr.default),
    "matrix_exp": _square(_aten.linalg_matrix_exp.default),
    "matrix_power": _square(_aten.linalg_matrix_power.default, 7),
    "cdist": _pair(_aten.cdist.default),
    "cdist of p": _pair(_aten.cdist.default, 1.0),
    "kron": lambda r: (_aten.kron.default, [_x(40, r.randint(30, 50)), _x(40, 30)]),
    "outer": lambda r: (_aten.outer.default, [_x(r.randint(1000, 2000)), _x(1000)]),
    "tensordot": lambda r: (
        _aten.tensordot.default,
        [_x(64, r.randint(100, 200), 64), _x(64, 64, 100), [0, 2], [0, 1]],
    ),
    "grid_sampler": _grid,
    "bicubic": _image(_aten.upsample_bicubic2d.vec, None, True, [2.0, 2.0]),
    "max_pool2d": _image(_aten.max_pool2d.default, [3, 3], [1, 1], [1, 1]),
    "im2col": _image(_aten.im2col.default, [3, 3], [1, 1], [1, 1], [1, 1]),
    "gather": _gather,
    "index of two": _indexed,
    "one_hot": _one_hot,
    "trilinear": _trilinear,
    "bilinear": _bilinear,
    "add of two types": _typed,
}
