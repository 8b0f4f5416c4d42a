"""Output shapes of common operators, computed in Python instead of torch's meta kernels.

A meta kernel takes 50 µs for a convolution and half a millisecond for a ReLU, and a large network
is propagated several times per job. Each function here handles only the simple case: contiguous
tensors of one type whose shapes fit. Otherwise it returns None and `shapes` runs torch's kernel;
only torch rejects arguments. A test compares the results with torch's on the networks of the
corpus.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor

_aten = torch.ops.aten
Arguments = list[Any]


def known_shape(target: object, args: Arguments, kwargs: dict[str, Any]) -> Tensor | None:
    """Return the meta tensor that ``target`` returns for ``args``, or None to run torch."""
    rule = _RULES.get(target)
    if rule is None or kwargs:
        return None
    try:
        return rule(args)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        return None  # invalid arguments: torch's own message is better


def _plain(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.is_contiguous()


def _same(args: Arguments) -> Tensor | None:
    """Return the result of a unary operator, which keeps shape and type."""
    x = args[0]
    return x if _plain(x) and x.is_floating_point() else None


def _batch_norm(args: Arguments) -> Tensor | None:
    x, parameters = args[0], args[1:5]
    if not _plain(x) or x.dim() < 2 or args[5] is not False:  # noqa: PLR2004
        return None
    expected = x.shape[1:2]
    if any(not isinstance(p, Tensor) or p.shape != expected for p in parameters):
        return None
    return x if all(p.dtype == x.dtype for p in parameters) else None


def _binary(args: Arguments) -> Tensor | None:
    """Return the result for a tensor and a number, or for two tensors of equal rank.

    One of the two tensors must have the shape of the result.
    """
    a, b = args[0], args[1]
    if not _plain(a) or not a.is_floating_point():
        return None
    if isinstance(b, (int, float)):
        return a
    if not _plain(b) or a.dtype != b.dtype or a.dim() != b.dim():
        return None
    if _covers(a.shape, b.shape):
        return a
    return b if _covers(b.shape, a.shape) else None


def _covers(shape: Sequence[int], other: Sequence[int]) -> bool:
    return all(m in {n, 1} for n, m in zip(shape, other, strict=True))


def _convolution(args: Arguments) -> Tensor | None:
    x, weight, bias, stride, padding, dilation, groups = [*args, *_CONVOLUTION[len(args) :]]
    if not (_plain(x) and _plain(weight)) or x.dtype != weight.dtype:
        return None
    if weight.dim() != x.dim() or not _fits(bias, weight):
        return None
    if groups < 1 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        return None
    space = x.dim() - 2
    windows = (stride, padding, dilation)
    if not all(isinstance(v, list) and len(v) in (1, space) for v in windows):
        return None
    sizes = []
    for d in range(space):
        step, margin, gap = (v[d % len(v)] for v in windows)
        reach = x.shape[d + 2] + 2 * margin - gap * (weight.shape[d + 2] - 1) - 1
        if step < 1 or margin < 0 or gap < 1 or reach < 0:
            return None
        sizes.append(reach // step + 1)
    return torch.empty((x.shape[0], weight.shape[0], *sizes), dtype=x.dtype, device="meta")


def _fits(bias: object, weight: Tensor) -> bool:
    return bias is None or (
        isinstance(bias, Tensor) and bias.shape == weight.shape[:1] and bias.dtype == weight.dtype
    )


def _linear(args: Arguments) -> Tensor | None:
    x, weight, bias = [*args, None][:3]
    if not (_plain(x) and _plain(weight)) or x.dtype != weight.dtype or weight.dim() != 2:  # noqa: PLR2004
        return None
    if x.dim() < 2 or x.shape[-1] != weight.shape[1]:  # noqa: PLR2004
        return None
    if not _fits(bias, weight):
        return None
    return torch.empty((*x.shape[:-1], weight.shape[0]), dtype=x.dtype, device="meta")


def _mean(args: Arguments) -> Tensor | None:
    x, dims, is_kept = [*args, False][:3]
    if not _plain(x) or not x.is_floating_point() or not dims or len(args) > 3:  # noqa: PLR2004
        return None
    rank = x.dim()
    if any(not -rank <= d < rank for d in dims):
        return None
    reduced = {d % rank for d in dims}
    if len(reduced) != len(dims):
        return None
    sizes = [1 if d in reduced else n for d, n in enumerate(x.shape) if is_kept or d not in reduced]
    return torch.empty(sizes, dtype=x.dtype, device="meta")


def _adaptive_pool(args: Arguments) -> Tensor | None:
    x, sizes = args
    if not _plain(x) or x.dim() != len(sizes) + 2 or any(n < 1 for n in sizes):
        return None
    return torch.empty((*x.shape[:2], *sizes), dtype=x.dtype, device="meta")


def _concatenate(args: Arguments) -> Tensor | None:
    tensors, along = [*args, 0][:2]
    first = tensors[0]
    rank = first.dim()
    if not -rank <= along < rank or not all(_plain(t) and t.dtype == first.dtype for t in tensors):
        return None
    along %= rank
    sizes = list(first.shape)
    for t in tensors[1:]:
        if t.dim() != rank or any(t.shape[d] != sizes[d] for d in range(rank) if d != along):
            return None
        sizes[along] += t.shape[along]
    return torch.empty(sizes, dtype=first.dtype, device="meta")


_CONVOLUTION: Arguments = [None, None, None, [1], [0], [1], 1]
_RULES: dict[object, Callable[[Arguments], Tensor | None]] = {
    **{
        getattr(_aten, name).default: _same
        for name in (
            "relu sigmoid silu gelu hardswish hardsigmoid hardtanh relu6 tanh elu leaky_relu "
            "dropout clone detach softplus mish"
        ).split()
    },
    _aten.batch_norm.default: _batch_norm,
    **{getattr(_aten, name).Tensor: _binary for name in ("add", "mul", "sub", "div")},
    _aten.conv1d.default: _convolution,
    _aten.conv2d.default: _convolution,
    _aten.conv3d.default: _convolution,
    _aten.linear.default: _linear,
    _aten.cat.default: _concatenate,
    _aten.mean.dim: _mean,
    _aten.adaptive_avg_pool2d.default: _adaptive_pool,
}
