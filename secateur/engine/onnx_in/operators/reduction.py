"""Reductions over dimensions."""

from collections.abc import Callable

import torch
from torch import Tensor

from secateur.engine.onnx_in.call import Call, Function, aten

_aten = torch.ops.aten
Reduce = Callable[[Tensor, list[int], bool], Tensor]


def _reduction(reduce: Reduce) -> Function:
    def function(call: Call) -> Tensor:
        x = call.tensor(0)
        axes = call.listed("axes", 1)
        if not axes:
            if call.attribute("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.dim()))
        dims = sorted(axis % x.dim() for axis in axes)
        return reduce(x, dims, bool(call.attribute("keepdims", 1)))

    return function


def _product(x: Tensor, dims: list[int], keepdims: bool) -> Tensor:  # noqa: FBT001  # as the others
    for dim in reversed(dims):
        x = torch.prod(x, dim, keepdim=keepdims)
    return x


def _norm(p: int) -> Reduce:
    return lambda x, dims, keep: _aten.linalg_vector_norm.default(x, p, dims, keep)


def arg_extreme(call: Call) -> Tensor:
    """ArgMax and ArgMin."""
    call.check("select_last_index", 0)
    packet = _aten.argmax if call.node.operator == "ArgMax" else _aten.argmin
    keep = bool(call.attribute("keepdims", 1))
    return aten(packet.default, call.tensor(0), call.attribute("axis", 0), keep)


def top_k(call: Call) -> tuple[Tensor, Tensor]:
    """TopK."""
    k = call.number(1) if call.has(1) else call.attribute("k")
    is_largest, is_sorted = (bool(call.attribute(name, 1)) for name in ("largest", "sorted"))
    axis = call.attribute("axis", -1)
    found: tuple[Tensor, Tensor] = _aten.topk.default(
        call.tensor(0), k, axis, is_largest, is_sorted
    )
    return found


def cumulative_sum(call: Call) -> Tensor:
    """CumSum: forwards or backwards, with or without the value itself."""
    x, axis = call.tensor(0), call.number(1)
    is_reverse = bool(call.attribute("reverse", 0))
    given = _aten.flip.default(x, [axis]) if is_reverse else x
    found = aten(_aten.cumsum.default, given, axis)
    if call.attribute("exclusive", 0):
        found = found - given
    return aten(_aten.flip.default, found, [axis]) if is_reverse else found


REDUCTION: dict[str, Function] = {
    "ReduceMean": _reduction(_aten.mean.dim),
    "ReduceSum": _reduction(_aten.sum.dim_IntList),
    "ReduceMax": _reduction(_aten.amax.default),
    "ReduceMin": _reduction(_aten.amin.default),
    "ReduceProd": _reduction(_product),
    "ReduceL1": _reduction(_norm(1)),
    "ReduceL2": _reduction(_norm(2)),
    "ReduceSumSquare": _reduction(lambda x, dims, keep: (x * x).sum(dims, keepdim=keep)),
    "ReduceLogSum": _reduction(lambda x, dims, keep: x.sum(dims, keepdim=keep).log()),
    "ReduceLogSumExp": _reduction(_aten.logsumexp.default),
    "ArgMax": arg_extreme,
    "ArgMin": arg_extreme,
    "TopK": top_k,
    "CumSum": cumulative_sum,
}
