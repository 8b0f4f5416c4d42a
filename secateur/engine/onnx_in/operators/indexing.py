"""Reading and writing at positions: the operators whose positions are tensors of indices."""

import torch
from torch import Tensor

from secateur.engine.onnx_in.call import Call, Function, aten, is_symbol

_aten = torch.ops.aten
_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def gather_nd(call: Call) -> Tensor:
    """GatherND."""
    x, index = call.tensor(0), call.tensor(1).long()
    batch_dims = call.attribute("batch_dims", 0)
    if batch_dims == 0:
        if is_symbol(x.shape[0]):
            call.refuse("takes some of the samples")
        if index.dim() == 2 and index.shape[1] == 1:  # noqa: PLR2004  # a list of positions
            return aten(_aten.index_select.default, x, 0, index.reshape(-1))
        return aten(_aten.index.Tensor, x, list(index.unbind(-1)))
    shape = index.shape[:-1]
    own = [
        torch.arange(x.shape[dim]).reshape([-1 if d == dim else 1 for d in range(len(shape))])
        for dim in range(batch_dims)
    ]
    return aten(_aten.index.Tensor, x, [*own, *index.unbind(-1)])


def scatter_nd(call: Call) -> Tensor:
    """ScatterND: values written at known positions, or at those of a tensor."""
    x, index, updates = call.tensor(0), call.tensor(1).long(), call.tensor(2)
    how = call.attribute("reduction", "none")
    if how not in {"none", "add"}:
        call.refuse(f"has the reduction {how!r}, which is not supported")
    return aten(_aten.index_put.default, x, list(index.unbind(-1)), updates, how == "add")


def scatter_elements(call: Call) -> Tensor:
    """ScatterElements, and Scatter of older opsets."""
    x, index, updates = call.tensor(0), call.tensor(1).long(), call.tensor(2)
    axis = call.attribute("axis", 0) % x.dim()
    index = torch.where(index < 0, index + x.shape[axis], index)
    how = call.attribute("reduction", "none")
    if how == "none":
        return aten(_aten.scatter.src, x, axis, index, updates)
    if how not in _REDUCTIONS:
        call.refuse(f"has the reduction {how!r}, which is not supported")
    return aten(_aten.scatter_reduce.two, x, axis, index, updates, _REDUCTIONS[how])


def depends_on_data(call: Call) -> Tensor:
    """NonMaxSuppression and others: how many values they return depends on the samples."""
    call.refuse(
        "returns as many values as the samples ask for, and every size must be fixed. Cut the file "
        'before it, with onnx.utils.extract_model("model.onnx", "cut.onnx", inputs, outputs), and '
        "run the rest afterwards"
    )


INDEXING: dict[str, Function] = {
    "GatherND": gather_nd,
    "ScatterND": scatter_nd,
    "ScatterElements": scatter_elements,
    "Scatter": scatter_elements,
    **dict.fromkeys(("NonMaxSuppression", "NonZero", "Compress", "Unique"), depends_on_data),
}
