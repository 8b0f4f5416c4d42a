"""The kernels inside a call, and the memory that each takes besides its arguments and results.

Torch composes many operators of others: ``matmul`` copies operands to broadcast them, ``einsum``
contracts pair by pair, attention makes all its scores. `kernels_of` runs such a call on meta
tensors and records the operators inside, so their values are counted, whatever the operator.
What a kernel allocates itself was measured on the CPU (tests/property/engine/test_footprint.py).
Called by `footprint`.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode

from secateur.engine.errors import ModelRejectedError, UnsupportedOpError
from secateur.engine.program.functional import op_name
from secateur.engine.program.shapes import Shapes, call_on_meta

_BLOCK = 16  # channels that oneDNN's convolutions pad to, with AVX-512
_ONEDNN = frozenset({torch.float32, torch.bfloat16})  # other types are convolved as matrices
_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
_PRODUCTS = frozenset("mm bmm addmm baddbmm mv addmv dot vdot".split())
# Most bytes that a kernel allocates itself, as multiples of its arguments and results.
_SCRATCH = {
    **dict.fromkeys(["topk", "mode", "kthvalue", "linalg_matrix_exp"], 6),
    **dict.fromkeys(["median", "nanmedian", "linalg_eig", "linalg_pinv"], 2),
    **dict.fromkeys(["_fft_r2c", "_fft_c2r", "_fft_c2c"], 8),
    "isin": 12,
}


@dataclass(frozen=True)
class Kernel:
    """An operator that torch runs inside a call.

    Attributes:
        target: The operator.
        args: All its arguments in the order of the schema, with meta tensors.
        inputs: Its tensor arguments.
        outputs: Its tensor results.
        is_view: Whether the results share the memory of an argument.
    """

    target: object
    args: tuple[Any, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    is_view: bool

    @property
    def name(self) -> str:
        """Bare name of the operator."""
        return op_name(self.target)


def kernels_of(node: fx.Node, shapes: Shapes) -> list[Kernel]:
    """Return the kernels of a call, in order; a call that torch does not compose is one kernel."""
    if _is_composed(node.target) and op_name(node.target) not in _GATES:
        try:
            with _Recorder() as recorder:
                call_on_meta(node, shapes)
        except (ModelRejectedError, UnsupportedOpError):
            pass  # its shape is known, but torch cannot compute it: `check_computes` says so
        else:
            found: list[Kernel] = recorder.kernels
            return found
    args, kwargs = fx.map_arg((node.args, node.kwargs), shapes.__getitem__)
    # Nodes may share one meta tensor (`shapes`), so only the schema tells whether this is a view.
    return [_kernel(node.target, args, kwargs, shapes[node], is_view=_returns_view(node.target))]


def scratch_bytes(kernel: Kernel) -> int:
    """Return an upper bound of the bytes that a kernel allocates besides its results."""
    if kernel.is_view or not kernel.outputs:
        return 0
    rule = _RULES.get(kernel.name)
    if rule is not None:
        return rule(kernel)
    dtypes = {tensor.dtype for tensor in (*kernel.inputs, *kernel.outputs)}
    if is_pointwise(kernel.target) and len(dtypes) == 1:
        return 0
    if kernel.name in _PRODUCTS and dtypes == {torch.float32}:
        return 0
    moved = sum(map(num_bytes, (*kernel.inputs, *kernel.outputs)))
    return _SCRATCH.get(kernel.name, 1) * moved


def num_macs_of(kernel: Kernel) -> int:
    """Return the multiply-accumulates of a matrix product or convolution; 0 for other kernels."""
    name, inputs = kernel.name, kernel.inputs
    if name in _PRODUCTS:
        first = inputs[1] if name.startswith(("add", "badd")) else inputs[0]
        return kernel.outputs[0].numel() * first.shape[-1]
    if name == "convolution":
        weight, is_transposed = kernel.args[1], bool(kernel.args[6])
        placed = kernel.args[0] if is_transposed else kernel.outputs[0]
        return int(weight.numel() * placed.numel() // max(1, placed.shape[1]))
    return 0


def is_pointwise(target: object) -> bool:
    """Return whether an operator computes each element of its result from one of each argument."""
    if not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001
        return True
    return _returns_view(target) or torch.Tag.pointwise in target.tags


def tensors_in(value: Any) -> list[Tensor]:  # noqa: ANN401  # a tensor, a number, or lists of them
    """Return the tensors in an argument or a result."""
    if isinstance(value, (list, tuple)):
        return [tensor for each in value for tensor in tensors_in(each)]
    return [value] if isinstance(value, Tensor) else []


def num_bytes(tensor: Tensor) -> int:
    """Return the size of a tensor's elements."""
    return tensor.numel() * tensor.dtype.itemsize


class _Recorder(TorchDispatchMode):
    """Records every operator that runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.kernels: list[Kernel] = []

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401  # torch's own
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        kernel = _kernel(func, args, kwargs or {}, result, is_view=False)
        shared = {_storage(tensor) for tensor in kernel.inputs}
        is_view = all(_storage(tensor) in shared for tensor in kernel.outputs)
        self.kernels.append(replace(kernel, is_view=is_view))
        return result


def _kernel(
    target: object,
    args: Any,  # noqa: ANN401
    kwargs: dict[str, Any],
    result: Any,  # noqa: ANN401
    *,
    is_view: bool,
) -> Kernel:
    inputs, outputs = tensors_in([*args, *kwargs.values()]), tensors_in(result)
    return Kernel(target, _in_order(target, args, kwargs), tuple(inputs), tuple(outputs), is_view)


def _in_order(target: object, args: Any, kwargs: dict[str, Any]) -> tuple[Any, ...]:  # noqa: ANN401
    """Return the arguments in the order of the schema, with the defaults of those left out."""
    if not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001
        return tuple(args)
    rest = target._schema.arguments[len(args) :]  # noqa: SLF001
    return (*args, *(kwargs.get(each.name, each.default_value) for each in rest))


def _returns_view(target: object) -> bool:
    if not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001
        return False
    return any(value.alias_info for value in target._schema.returns)  # noqa: SLF001


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001  # torch has no public identity


@functools.cache
def _is_composed(target: object) -> bool:
    if not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001
        return False
    key = "CompositeImplicitAutograd"
    try:
        return bool(torch._C._dispatch_has_kernel_for_dispatch_key(target.name(), key))  # noqa: SLF001
    except RuntimeError:  # only TorchScript's interpreter has it, such as ``sym_size`` for a list
        return False


def _convolution(kernel: Kernel) -> int:
    """Return the copies of a convolution: blocks of channels in oneDNN, else one matrix."""
    x, weight, y = kernel.args[0], kernel.args[1], kernel.outputs[0]
    copies = 2 * (_blocked(x) + _blocked(y)) + _blocked(weight, 2)
    is_transposed = kernel.name == "convolution" and kernel.args[6]
    is_volume = x.dim() == 5  # noqa: PLR2004  # oneDNN has no transposed convolution of volumes
    if kernel.name == "convolution" and x.dtype in _ONEDNN and not (is_transposed and is_volume):
        return copies
    few, many = (y, x) if is_transposed else (x, y)
    columns = few.shape[1] * prod(weight.shape[2:]) * many.numel() // max(1, many.shape[1])
    num_bytes_columns: int = columns * x.dtype.itemsize
    return copies + num_bytes_columns


def _blocked(tensor: Tensor, num_dims: int = 1) -> int:
    """Return the bytes of a tensor whose channels are padded to whole blocks."""
    first = 2 - num_dims  # of an image dimension 1, of a weight dimensions 0 and 1
    sizes = [
        -(-size // _BLOCK) * _BLOCK if first <= dim < 2 else size  # noqa: PLR2004
        for dim, size in enumerate(tensor.shape)
    ]
    return prod(sizes) * int(tensor.dtype.itemsize)


def _product(kernel: Kernel) -> int:
    """Return the bytes of the product of three operands, for one index of the unrolled one."""
    expanded = []
    for operand, dims in zip(kernel.inputs, kernel.args[3:6], strict=True):
        for dim in sorted(dims):
            operand = operand.unsqueeze(dim)  # noqa: PLW2901
        expanded.append(operand)
    shape = torch.broadcast_shapes(*(operand.shape for operand in expanded))
    num_elements: int = prod(shape) // max(1, shape[kernel.args[7]])
    return num_elements * int(kernel.outputs[0].dtype.itemsize)


def _attention(kernel: Kernel) -> int:
    """Return the bytes of the scores and the weights, in float32."""
    q, k = kernel.inputs[:2]
    return 2 * prod(q.shape[:-1]) * k.shape[-2] * 4


def _recurrent(kernel: Kernel) -> int:
    """Return the bytes of all gates and of the lists of results, for the whole sequence."""
    return (_GATES[kernel.name] + 6) * num_bytes(kernel.outputs[0])


_RULES: dict[str, Callable[[Kernel], int]] = {
    **dict.fromkeys(["convolution", "deform_conv2d"], _convolution),
    **dict.fromkeys(_GATES, _recurrent),
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_trilinear": _product,
}
