"""Upper bounds of the memory and work of one forward pass, checked before anything is allocated.

The bounds are computed from the shapes of meta tensors. `macs` counts the MACs that are reported to
users. The bound here also counts the elements that all other operators compute, and the windows of
pooling, so that no operator evades the limit. `kernels` counts what a call computes and holds
inside.
"""

import re
from collections import defaultdict
from math import prod
from typing import Any

from torch import fx

from secateur.engine.errors import ModelTooLargeError
from secateur.engine.program.kernels import (
    Kernel,
    is_pointwise,
    kernels_of,
    num_bytes,
    num_macs_of,
    scratch_bytes,
    tensors_in,
)
from secateur.engine.program.limits import ModelLimits
from secateur.engine.program.macs import mac_terms, num_macs
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import Shapes, num_analysed, where

Inside = dict[fx.Node, list[Kernel]]  # the kernels of every call

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
    empty hardswish native_batch_norm native_layer_norm native_group_norm _safe_softmax _to_copy
    _euclidean_dist _cdist_forward
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
        rank = max((tensor.dim() for tensor in tensors_in(value)), default=0)
        if rank > limits.tensor_rank:
            raise ModelTooLargeError(
                f"{where(node)} returns a value of rank {rank}, at most {limits.tensor_rank}"
            )
    inside = {
        node: kernels_of(node, shapes) for node in program.graph.nodes if node.op == "call_function"
    }
    peak, node = peak_bytes(program, shapes, inside)
    if peak > limits.activation_bytes:
        raise ModelTooLargeError(
            f"the network needs {peak} bytes for its values at {where(node)}, with a "
            f"batch of 2; at most {limits.activation_bytes}"
        )
    work = num_operations(program, shapes, inside)
    if work > limits.macs:
        raise ModelTooLargeError(
            f"the network needs {work} multiply-accumulates for one sample, at most {limits.macs}"
        )


def peak_bytes(program: Program, shapes: Shapes, inside: Inside) -> tuple[int, fx.Node]:
    """Return the peak memory in bytes, and the call at which it occurs.

    Counted are all values alive at a call, and what the call holds while it runs.
    """
    last_use = {used: node for node in program.graph.nodes for used in node.all_input_nodes}
    sizes = {node: sum(map(num_bytes, tensors_in(value))) for node, value in shapes.items()}
    alive = peak = 0
    worst = next(iter(program.graph.nodes))
    for node in program.graph.nodes:
        if node.op in {"placeholder", "call_function"}:
            alive += sizes[node]
        here = alive + held_inside(inside.get(node, []), sizes[node])
        if here > peak:
            peak, worst = here, node
        done = [used for used in node.all_input_nodes if last_use[used] is node]
        if node not in last_use and node.op == "call_function":
            done.append(node)  # the result is never read
        alive -= sum(sizes[used] for used in done if used.op != "get_attr")
    return peak, worst


def held_inside(kernels: list[Kernel], result_bytes: int) -> int:
    """Return the bytes that a call holds besides its arguments and its result."""
    made = sum(num_bytes(tensor) for k in kernels if not k.is_view for tensor in k.outputs)
    return max(0, made - result_bytes) + max(map(scratch_bytes, kernels), default=0)


def num_operations(program: Program, shapes: Shapes, inside: Inside) -> int:
    """Return the multiply-accumulates plus other elements computed for one sample."""
    macs: dict[fx.Node, int] = defaultdict(int)
    for term in mac_terms(program, shapes):
        macs[term[0]] += num_macs(term, shapes)
    total = 0
    for node, kernels in inside.items():
        num_outputs = sum(tensor.numel() for tensor in tensors_in(shapes[node]))
        counted = sum(map(num_macs_of, kernels))
        work = sum(_work(kernel) for kernel in kernels if not kernel.is_view)
        total += max(macs[node], counted) + max(num_outputs, work)
    return total // num_analysed(program)


def _work(kernel: Kernel) -> int:
    """Return an upper bound of the elements that a kernel computes, apart from its MACs."""
    num_outputs = sum(tensor.numel() for tensor in kernel.outputs)
    if kernel.name in _BY_RESULT or is_pointwise(kernel.target):
        return _window(kernel) * num_outputs
    elements = num_outputs + sum(tensor.numel() for tensor in kernel.inputs)
    if _BY_LOGARITHM.fullmatch(kernel.name):
        return _LOGARITHM * elements
    # Products, decompositions, distances: each element is combined with at most a row or a column.
    longest = max((size for tensor in kernel.inputs for size in tensor.shape[-2:]), default=1)
    return elements * longest


def _window(kernel: Kernel) -> int:
    """Return the window size of a pooling operator in elements; 1 for other operators."""
    if not kernel.name.startswith(_POOLS):
        return 1
    sizes: Any = kernel.args[1] if len(kernel.args) > 1 else 1
    rank = int(kernel.name.partition("_pool")[2][0])
    found = list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]
    found = [size for size in found if isinstance(size, int)] or [1]
    return prod(found) if len(found) > 1 else int(found[0] ** rank)
