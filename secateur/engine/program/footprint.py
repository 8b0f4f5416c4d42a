"""Upper bounds of the memory and work of one forward pass, checked before anything is allocated.

The bounds are computed from the shapes of meta tensors. `macs` counts the MACs that are reported to
users. The bound here also counts the elements that all other operators compute, and the windows of
pooling, so that no operator evades the limit.
"""

import re
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.errors import ModelTooLargeError
from secateur.engine.program.functional import op_name
from secateur.engine.program.limits import ModelLimits
from secateur.engine.program.macs import mac_terms, num_macs
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import ANALYSIS_BATCH, Shapes, where

_POOLS = ("max_pool", "avg_pool")
# Operators whose work, apart from the MACs, is proportional to their result. Pointwise operators
# and views are recognised by their schema; the work of any other is bounded from its arguments.
_BY_RESULT = frozenset(
    """
    conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d linear
    matmul mm bmm addmm baddbmm einsum scaled_dot_product_attention embedding deform_conv2d lstm gru
    rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell bilinear mv addmv outer cdist
    batch_norm instance_norm layer_norm rms_norm group_norm softmax log_softmax _softmax
    _log_softmax cumsum cumprod mean sum amax amin max min var std var_mean std_mean norm
    linalg_vector_norm prod logsumexp any all argmax argmin aminmax max_pool1d max_pool2d max_pool3d
    max_pool2d_with_indices avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d adaptive_max_pool1d
    adaptive_max_pool2d adaptive_max_pool3d max_unpool2d max_unpool3d upsample_nearest1d
    upsample_nearest2d upsample_nearest3d upsample_bilinear2d upsample_bicubic2d upsample_linear1d
    upsample_trilinear3d _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler grid_sampler_2d
    affine_grid_generator prelu glu repeat tile repeat_interleave flip roll rot90 pixel_shuffle
    pixel_unshuffle channel_shuffle cat stack hstack vstack dstack column_stack constant_pad_nd pad
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d im2col col2im index index_select gather take take_along_dim slice_scatter
    select_scatter diagonal_scatter scatter scatter_add scatter_reduce index_put index_add
    index_copy index_fill masked_fill masked_scatter clone contiguous copy dropout zeros ones full
    arange linspace eye scalar_tensor zeros_like ones_like full_like new_zeros new_ones new_full
    tril triu meshgrid lift_fresh_copy to type_as local_response_norm expand_as one_hot sym_size
    """.split()
)
# Sorting and Fourier transforms take a factor of log2(n) more; n is at most 2^31.
_BY_LOGARITHM = re.compile(
    r"sort|argsort|msort|topk|kthvalue|median|mode|fft_.*|_fft_.*|searchsorted"
)
_LOGARITHM = 32


def check_cost(program: Program, shapes: Shapes, limits: ModelLimits) -> None:
    """Refuse a network that takes too much memory or work.

    Args:
        program: Network to check.
        shapes: Shapes of its values, for a batch of 2.
        limits: Limits on rank, memory and work.

    Raises:
        ModelTooLargeError: A limit is exceeded; the message names the value, the limit and, for
            rank and memory, the call.
    """
    for node, value in shapes.items():
        rank = max((tensor.dim() for tensor in _tensors(value)), default=0)
        if rank > limits.tensor_rank:
            raise ModelTooLargeError(
                f"{where(node)} returns a value of rank {rank}, at most {limits.tensor_rank}"
            )
    num_bytes, node = peak_bytes(program, shapes)
    if num_bytes > limits.activation_bytes:
        raise ModelTooLargeError(
            f"the network needs {num_bytes} bytes for its values at {where(node)}, with a "
            f"batch of 2; at most {limits.activation_bytes}"
        )
    work = num_operations(program, shapes)
    if work > limits.macs:
        raise ModelTooLargeError(
            f"the network needs {work} multiply-accumulates for one sample, at most {limits.macs}"
        )


def peak_bytes(program: Program, shapes: Shapes) -> tuple[int, fx.Node]:
    """Return the peak memory of all values in bytes, and the call at which it occurs."""
    last_use = {used: node for node in program.graph.nodes for used in node.all_input_nodes}
    sizes = {node: sum(map(_num_bytes, _tensors(value))) for node, value in shapes.items()}
    alive = peak = 0
    worst = next(iter(program.graph.nodes))
    for node in program.graph.nodes:
        if node.op in {"placeholder", "call_function"}:
            alive += sizes[node]
        if alive > peak:
            peak, worst = alive, node
        done = [used for used in node.all_input_nodes if last_use[used] is node]
        if node not in last_use and node.op == "call_function":
            done.append(node)  # the result is never read
        alive -= sum(sizes[used] for used in done if used.op != "get_attr")
    return peak, worst


def num_operations(program: Program, shapes: Shapes) -> int:
    """Return the multiply-accumulates plus other elements computed for one sample."""
    total = sum(num_macs(term, shapes) for term in mac_terms(program, shapes))
    for node in program.graph.nodes:
        if node.op == "call_function":
            total += _work(node, shapes)
    return total // ANALYSIS_BATCH


def _work(node: fx.Node, shapes: Shapes) -> int:
    """Return an upper bound of the elements that a call computes, apart from its MACs."""
    num_outputs = sum(tensor.numel() for tensor in _tensors(shapes[node]))
    name = op_name(node.target)
    if name in _BY_RESULT or _is_pointwise(node.target):
        return _window(node) * num_outputs
    inputs = [tensor for used in node.all_input_nodes for tensor in _tensors(shapes[used])]
    elements = num_outputs + sum(tensor.numel() for tensor in inputs)
    if _BY_LOGARITHM.fullmatch(name):
        return _LOGARITHM * elements
    # Products, decompositions, distances: each element is combined with at most a row or a column.
    longest = max((size for tensor in inputs for size in tensor.shape[-2:]), default=1)
    return elements * longest


def _is_pointwise(target: object) -> bool:
    if not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001
        return True
    is_view = any(value.alias_info for value in target._schema.returns)  # noqa: SLF001
    return is_view or torch.Tag.pointwise in target.tags


def _window(node: fx.Node) -> int:
    """Return the window size of a pooling operator in elements; 1 for other operators."""
    if not op_name(node.target).startswith(_POOLS):
        return 1
    sizes: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("kernel_size", 1)
    rank = int(op_name(node.target).partition("_pool")[2][0])
    found = list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]
    found = [size for size in found if isinstance(size, int)] or [1]
    return prod(found) if len(found) > 1 else int(found[0] ** rank)


def _tensors(value: Any) -> list[Tensor]:  # noqa: ANN401  # a tensor, a number, or a list of them
    found = value if isinstance(value, (list, tuple)) else [value]
    return [tensor for tensor in found if isinstance(tensor, Tensor)]


def _num_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.dtype.itemsize
