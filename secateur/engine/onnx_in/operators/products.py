"""Matrix products."""

import torch
from torch import Tensor

from secateur.engine.onnx_in.call import Call, Function, aten

_aten = torch.ops.aten


def matmul(call: Call) -> Tensor:
    """MatMul; one with a vector has its own operator, so spectral norms are pruned through."""
    a, b = call.weight(0), call.weight(1)
    by_ranks = {(2, 1): _aten.mv.default, (1, 1): _aten.dot.default}
    return aten(by_ranks.get((a.dim(), b.dim()), _aten.matmul.default), a, b)


def gemm(call: Call) -> Tensor:
    """Gemm: a linear layer in most files."""
    a, b, c = call.tensor(0), call.weight(1), call.maybe_weight(2)
    alpha, beta = call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    if call.attribute("transA", 0):
        a = _aten.t.default(a)
    is_layer = bool(call.attribute("transB", 0))
    if is_layer and alpha == 1 and (c is None or (beta == 1 and c.dim() == 1)):
        width = b.shape[0]
        if c is None or c.shape[0] == width:
            return aten(_aten.linear.default, a, b, c)
    if is_layer:
        b = _aten.t.default(b)
    if alpha == beta == 1 and c is not None and c.dim() == 1:
        return aten(_aten.addmm.default, c, a, b)
    product: Tensor = _aten.matmul.default(a, b)
    product = product if alpha == 1 else product * alpha
    if c is None:
        return product
    return product + (c if beta == 1 else c * beta)


def einsum(call: Call) -> Tensor:
    """Einsum."""
    operands = [call.tensor(index) for index in range(len(call.values))]
    return aten(_aten.einsum.default, call.attribute("equation").replace(" ", ""), operands)


PRODUCTS: dict[str, Function] = {"MatMul": matmul, "Gemm": gemm, "Einsum": einsum}
