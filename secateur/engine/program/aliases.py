"""Values that may share memory, told from the operators alone, before writes are rewritten."""

import functools
from collections.abc import Callable

import torch
from torch import fx

from secateur.engine.program.vocabulary import op_name

# Composite operators that always allocate their result; other composite operators may return views.
_ALLOCATING = frozenset(
    """conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear matmul
    batch_norm instance_norm layer_norm group_norm rms_norm softmax log_softmax silu gelu mish selu
    relu6 hardswish hardtanh avg_pool1d max_pool1d max_pool2d max_pool3d adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d upsample_nearest2d
    upsample_bilinear2d upsample_bicubic2d embedding cat concat stack mean sum clone
    scaled_dot_product_attention
    """.split()
)
# These allocate in training and return their argument at inference.
_IDENTITIES = frozenset("dropout feature_dropout alpha_dropout feature_alpha_dropout".split())


@functools.cache
def is_in_place(target: object) -> bool:
    """Return whether a call target writes into its first argument."""
    is_overload = isinstance(target, torch._ops.OpOverload)  # noqa: SLF001
    return is_overload and target._schema.is_mutable  # type: ignore[attr-defined]  # noqa: SLF001


def possible_aliases(value: fx.Node) -> set[fx.Node]:
    """Return the values that may share memory with ``value``, including itself."""
    found = {value}
    frontier = [value]
    while frontier:
        node = frontier.pop()
        linked = [user for user in node.users if _may_share(user)]
        if _may_share(node):
            linked += node.all_input_nodes
        for other in linked:
            if other not in found:
                found.add(other)
                frontier.append(other)
    return found


def _may_share(node: fx.Node) -> bool:
    """Return whether a call's result may share memory with its arguments."""
    return node.op == "call_function" and _may_return_view(node.target)


@functools.cache
def _may_return_view(target: Callable[..., object]) -> bool:
    if not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001
        return True  # getitem returns a view; numbers share nothing
    name = op_name(target)
    if name in _ALLOCATING or name == "sym_size":
        return False
    if name in _IDENTITIES or any(value.alias_info for value in target._schema.returns):  # noqa: SLF001
        return True
    return torch._C._dispatch_has_kernel_for_dispatch_key(  # noqa: SLF001
        target.name(), "CompositeImplicitAutograd"
    )
