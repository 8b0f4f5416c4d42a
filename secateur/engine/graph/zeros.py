"""Whether the removed channels of a value are zero in the masked twin.

A sum, a norm or a contraction over channels is exact only if what is removed adds nothing. The
masked twin has zeros in the filters, shifts and scales of removed channels; operators may turn them
into other numbers. What is not known to keep zeros counts as not zero. Runs once all labels and
components are known.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import fx

from secateur.engine.graph.atoms import Atoms, Ints
from secateur.engine.graph.propagate import Output
from secateur.engine.program.functional import op_name

_DEEPEST = 200  # calls that are followed back; a longer chain counts as not zero
_SAME = frozenset(
    """view reshape _unsafe_view flatten unflatten ravel permute transpose t numpy_T mT mH squeeze
    unsqueeze slice narrow expand repeat tile repeat_interleave movedim swapaxes flip fliplr
    flipud rot90 roll pixel_shuffle pixel_unshuffle channel_shuffle unfold select contiguous
    clone detach alias to _to_copy type_as view_as reshape_as dropout feature_dropout
    alpha_dropout positive getitem split split_with_sizes chunk unbind tensor_split hsplit
    vsplit dsplit relu relu6 elu celu selu silu gelu mish hardswish hardtanh leaky_relu prelu
    _prelu_kernel tanh softsign abs neg sign sin tan asin atan sinh asinh atanh erf expm1 log1p
    square sqrt round floor ceil trunc nan_to_num hardshrink softshrink sum nansum mean amax
    amin norm linalg_vector_norm max_pool1d max_pool2d max_pool3d max_pool2d_with_indices
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_avg_pool3d _adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d lp_pool2d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d
    upsample_bicubic2d upsample_linear1d upsample_trilinear3d _upsample_nearest_exact2d
    upsample_nearest_exact2d _upsample_bilinear2d_aa grid_sampler im2col col2im cumsum
    reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d div
    """.split()
)
_SUMS = frozenset(
    "add sub rsub maximum minimum max min lerp where slice_scatter select_scatter copy".split()
)
_JOINS = frozenset("cat concat stack hstack vstack dstack column_stack".split())
# Their shifts, means and scales are zero where channels are removed.
_MASKED = frozenset(
    """batch_norm instance_norm _native_batch_norm_legit_no_training embedding lstm gru rnn_tanh
    rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell""".split()
)
_NORMS = {"layer_norm": 2, "group_norm": 2, "rms_norm": 2}  # with the position of the scale
_CLAMPS = frozenset({"clamp", "clamp_min", "clamp_max"})
_PADS = {"pad": 3, "constant_pad_nd": 2}  # with the position of the number they add
_PRODUCTS = frozenset("matmul mm bmm mv dot einsum scaled_dot_product_attention tensordot".split())
_WITH_BIAS = frozenset({"addmm", "baddbmm", "addmv"})


def settle_zeros(atoms: Atoms, labels: Mapping[fx.Node, Output], component: Ints) -> None:
    """Mark the sums inexact to which removed channels may add."""
    follow = _Follow(labels, component)
    for doubt in atoms.doubts:
        of_ids = component[doubt.ids[doubt.ids >= 0].numpy()]
        channels = frozenset(np.unique(of_ids).tolist())
        judge = all if doubt.is_all else any
        if channels and not judge(follow.is_zero(value, channels) for value in doubt.values):
            atoms.mark_inexact(doubt.ids, doubt.node)


class _Follow:
    """Backward walk from a value to the weights that make its channels zero."""

    def __init__(self, labels: Mapping[fx.Node, Output], component: Ints) -> None:
        self._labels, self._component = labels, component
        self._known: dict[tuple[fx.Node, frozenset[int]], bool] = {}

    def is_zero(self, value: object, channels: frozenset[int], depth: int = 0) -> bool:
        """Return whether a value is zero at ``channels``, components of atoms."""
        if not isinstance(value, fx.Node):
            return isinstance(value, (int, float)) and value == 0
        here = channels & self._channels(value)
        if not here or depth > _DEEPEST:
            return False  # the same number for all channels
        found = self._known.get((value, here))
        if found is None:
            found = self._known[value, here] = self._keeps_zero(value, here, depth + 1)
        return found

    def _keeps_zero(self, node: fx.Node, channels: frozenset[int], depth: int) -> bool:
        if node.op != "call_function":
            return node.op == "get_attr"
        name, args = op_name(node.target), list(node.args)
        if name in _SAME or name in _PADS or name in _CLAMPS:
            return _allows_zero(name, args) and self.is_zero(args[0], channels, depth)
        if name in _NORMS:
            scale = args[_NORMS[name]] if len(args) > _NORMS[name] else None
            is_plain = name == "rms_norm" and scale is None
            return self.is_zero(args[0] if is_plain else scale, channels, depth)
        if name in _MASKED:
            return True
        return self._is_combination_zero(node, name, args, channels, depth)

    def _is_combination_zero(
        self, node: fx.Node, name: str, args: list[Any], channels: frozenset[int], depth: int
    ) -> bool:
        """Return whether a call of several operands keeps zeros."""
        if name == "mul":
            return any(self.is_zero(operand, channels, depth) for operand in args[:2])
        if name in _SUMS:
            operands = args[1:3] if name == "where" else args[:2]
            return all(self.is_zero(operand, channels, depth) for operand in operands)
        if name == "linear" or name.startswith("conv") or name in {"deform_conv2d", "bilinear"}:
            weight, bias = {"deform_conv2d": (1, 4), "bilinear": (2, 3)}.get(name, (1, 2))
            shift = args[bias] if len(args) > bias else None
            return self.is_zero(args[weight], channels, depth) and (
                shift is None or self.is_zero(shift, channels, depth)
            )
        if name in _JOINS or name in _PRODUCTS or name in _WITH_BIAS:
            labelled = [v for v in node.all_input_nodes if self._channels(v) & channels]
            return all(self.is_zero(operand, channels, depth) for operand in labelled)
        return False

    def _channels(self, node: fx.Node) -> frozenset[int]:
        """Return the components of all channels of a value."""
        found = self._labels.get(node, {})
        each = found if isinstance(found, list) else [found]
        parts = [self._component[ids[ids >= 0].numpy()] for one in each for ids in one.values()]
        return frozenset(np.unique(np.concatenate(parts)).tolist()) if parts else frozenset()


def _allows_zero(name: str, args: list[Any]) -> bool:
    """Return whether a padding adds zeros, and whether a clamp lets zero through."""
    if name in _PADS:
        return len(args) <= _PADS[name] or not args[_PADS[name]]
    if name not in _CLAMPS:
        return True
    bounds = args[1:]
    low, high, *_ = [None, *bounds, None] if name == "clamp_max" else [*bounds, None, None]
    if isinstance(low, fx.Node) or isinstance(high, fx.Node):
        return False
    return (low is None or low <= 0) and (high is None or high >= 0)
