"""The operators a program may call: a lookup by name in fixed tables, never an import.

Everything here is a pure function of tensors and numbers. Operators that read files, run code, draw
random numbers at inference or depend on data for their shapes are left out.
"""

import operator
import re
from collections.abc import Callable
from typing import Any

import torch

ATEN = frozenset(
    """
    conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d
    linear matmul mm bmm addmm baddbmm einsum scaled_dot_product_attention embedding
    batch_norm instance_norm layer_norm rms_norm group_norm local_response_norm
    softmax log_softmax _softmax _log_softmax cumsum
    relu relu_ relu6 relu6_ hardtanh hardtanh_ hardswish hardswish_ hardsigmoid hardsigmoid_
    sigmoid sigmoid_ silu silu_ gelu gelu_ elu elu_ selu selu_ celu celu_ leaky_relu leaky_relu_
    mish mish_ tanh tanh_ softplus softsign logsigmoid log_sigmoid prelu _prelu_kernel threshold
    threshold_ hardshrink softshrink glu exp exp_ expm1 log log2 log1p sqrt sqrt_ rsqrt abs abs_
    neg sign sin cos tan atan atan2 square reciprocal floor ceil round trunc erf erfc clamp clamp_
    clamp_min clamp_min_ clamp_max clamp_max_ nan_to_num positive
    add add_ sub sub_ mul mul_ div div_ rsub pow maximum minimum fmod remainder where lerp addcmul
    addcdiv eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or
    bitwise_not floor_divide masked_fill masked_fill_ isnan isinf
    mean sum amax amin max min var std var_mean std_mean norm linalg_vector_norm prod logsumexp any
    all argmax argmin
    max_pool1d max_pool2d max_pool3d max_pool2d_with_indices avg_pool1d avg_pool2d avg_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d
    adaptive_max_pool1d adaptive_max_pool2d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d upsample_bicubic2d
    upsample_linear1d upsample_trilinear3d _upsample_nearest_exact2d _upsample_bilinear2d_aa
    grid_sampler affine_grid_generator
    view reshape _unsafe_view flatten unflatten permute transpose t numpy_T squeeze squeeze_
    unsqueeze unsqueeze_ select slice narrow expand expand_as view_as reshape_as
    repeat tile repeat_interleave
    movedim swapaxes flip roll pixel_shuffle pixel_unshuffle channel_shuffle cat concat stack split
    split_with_sizes chunk unbind tensor_split constant_pad_nd pad reflection_pad1d
    reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d unfold
    im2col col2im index index_select gather
    contiguous clone detach detach_ alias to _to_copy type_as lift_fresh_copy copy
    dropout dropout_ feature_dropout feature_dropout_ alpha_dropout
    zeros ones full arange linspace eye scalar_tensor empty zeros_like ones_like full_like new_zeros
    new_ones new_full tril triu meshgrid sym_size
    """.split()
)
# Checks that the exporter leaves behind; they compute nothing, and their literals would go stale.
ASSERTIONS = frozenset(
    "_assert_tensor_metadata _assert_scalar _assert_async sym_constrain_range "
    "sym_constrain_range_for_size".split()
)
_OPERATORS: dict[str, Callable[..., Any]] = {
    f"_operator.{function.__name__}": function
    for function in (
        operator.add,
        operator.sub,
        operator.mul,
        operator.floordiv,
        operator.mod,
        operator.neg,
        operator.getitem,
    )
}
_ATEN_TARGET = re.compile(r"torch\.ops\.aten\.([A-Za-z_0-9]{1,80})\.([A-Za-z_0-9]{1,40})")


def find_operator(target: str) -> Callable[..., Any] | None:
    """Return the callable for a serialised call target, or None if it is not in the vocabulary."""
    if target in _OPERATORS:
        return _OPERATORS[target]
    match = _ATEN_TARGET.fullmatch(target)
    if match is None or match[1] not in ATEN | ASSERTIONS:
        return None
    packet = getattr(torch.ops.aten, match[1], None)
    if packet is None or match[2] not in packet.overloads():
        return None
    overload: Callable[..., Any] = getattr(packet, match[2])
    # Of operators that write, only those that say so by their name: `functional` rewrites them.
    if overload._schema.is_mutable and not match[1].endswith("_"):  # type: ignore[attr-defined]  # noqa: SLF001
        return None
    return overload
