"""Rewrite operators to the ones that ``torch.export`` writes for training.

A program after ``run_decompositions()`` normalises and convolves with core ATen's operators, and
torch has several names for some functions. Analysis, surgery and retraining support one operator
for each function. `functional` calls this for uploaded and exported programs. Values do not change.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.errors import UnsupportedOpError
from secateur.engine.program.vocabulary import op_name

_aten = torch.ops.aten
_ALIASES = dict(
    pair.split("=")
    for pair in """absolute=abs negative=neg multiply=mul divide=div true_divide=div subtract=sub
    clip=clamp arctan=atan arctan2=atan2 greater=gt greater_equal=ge less=lt less_equal=le
    not_equal=ne concatenate=cat moveaxis=movedim swapdims=swapaxes fix=trunc
    special_expit=sigmoid special_softmax=softmax special_log_softmax=log_softmax special_erf=erf
    special_expm1=expm1 special_log1p=log1p special_exp2=exp2 special_round=round
    _unsafe_index=index unsafe_chunk=chunk unsafe_split=split
    unsafe_split_with_sizes=split_with_sizes split_copy=split
    split_with_sizes_copy=split_with_sizes unbind_copy=unbind permute_copy=permute
    transpose_copy=transpose t_copy=t squeeze_copy=squeeze unsqueeze_copy=unsqueeze
    select_copy=select slice_copy=slice expand_copy=expand view_copy=view alias_copy=alias
    detach_copy=detach linalg_matmul=matmul narrow_copy=narrow""".split()
)
_MAX_BOX_COORDINATE = 4096.0  # pixels
_MAX_SAMPLES = 64  # per side of a bin
_MIN_NORM = 1e-30  # lower bound of a divisor: a filter of zeros stays zero


def use_one_spelling(graph: fx.Graph, tensors: Mapping[str, Tensor]) -> None:
    """Rewrite the calls of ``graph`` in place.

    Args:
        graph: Graph without in-place operators.
        tensors: Stored tensors of the graph, by name.

    Raises:
        UnsupportedOpError: ``roi_align`` has a scale or a number of samples that is not accepted.
    """
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        name = op_name(node.target)
        if name in _ALIASES:
            _rename(node, _ALIASES[name])
        rewrite = _REWRITES.get(name)
        arguments = _arguments(node) if rewrite is not None else None
        if rewrite is None or arguments is None:
            continue
        if name in _MULTIPLE_RESULTS and not _is_only_first_read(node):
            continue
        with graph.inserting_before(node):
            found = rewrite(graph, arguments, tensors)
        if found is None:
            continue
        found.meta = dict(node.meta)
        for other in found.all_input_nodes:
            other.meta.setdefault("source", node.meta.get("source", ""))
        for old in [*node.users] if name in _MULTIPLE_RESULTS else [node]:
            old.replace_all_uses_with(found)
            if old is not node:
                graph.erase_node(old)
        graph.erase_node(node)


def _rename(node: fx.Node, name: str) -> None:
    packet = getattr(_aten, name)
    overload = node.target._overloadname  # type: ignore[union-attr]  # noqa: SLF001
    if overload in packet.overloads():
        node.target = getattr(packet, overload)


def _arguments(node: fx.Node) -> dict[str, Any]:
    """Return all arguments of a call by name, including defaults."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]  # noqa: SLF001
    given = {each.name: each.default_value for each in schema}
    given |= dict(zip((each.name for each in schema), node.args, strict=False))
    return given | node.kwargs


def _is_only_first_read(node: fx.Node) -> bool:
    """Return whether only the first result of a call is read."""
    gets = list(node.users)
    if any(each.target is not operator.getitem for each in gets):
        return False
    return not any(each.users for each in gets if each.args[1] != 0)


_Rewrite = Callable[[fx.Graph, dict[str, Any], Mapping[str, Tensor]], fx.Node | None]


def _batch_norm(graph: fx.Graph, a: dict[str, Any], _tensors: object) -> fx.Node | None:
    if a.get("training"):
        return None
    given = [a[name] for name in "input weight bias running_mean running_var".split()]
    return graph.call_function(
        _aten.batch_norm.default, (*given, False, a["momentum"], a["eps"], True)
    )


def _layer_norm(graph: fx.Graph, a: dict[str, Any], _tensors: object) -> fx.Node:
    given = [a[name] for name in "input normalized_shape weight bias eps".split()]
    return graph.call_function(_aten.layer_norm.default, tuple(given))


def _rms_norm(graph: fx.Graph, a: dict[str, Any], _tensors: object) -> fx.Node:
    given = [a[name] for name in "input normalized_shape weight eps".split()]
    return graph.call_function(_aten.rms_norm.default, tuple(given))


def _group_norm(graph: fx.Graph, a: dict[str, Any], _tensors: object) -> fx.Node:
    given = [a[name] for name in "input group weight bias eps".split()]
    return graph.call_function(_aten.group_norm.default, tuple(given))


def _convolution(graph: fx.Graph, a: dict[str, Any], _tensors: object) -> fx.Node | None:
    space = len(a["stride"])
    first = [a[name] for name in "input weight bias stride padding".split()]
    if a["transposed"]:
        name = f"conv_transpose{space}d"
        args = (*first, a["output_padding"], a["groups"], a["dilation"])
    else:
        name = f"conv{space}d"
        args = (*first, a["dilation"], a["groups"])
    packet = getattr(_aten, name, None)
    if packet is None:
        return None
    overload = "default" if "default" in packet.overloads() else "input"
    return graph.call_function(getattr(packet, overload), args)


def _attention(graph: fx.Graph, a: dict[str, Any], _tensors: object) -> fx.Node:
    given = [a[name] for name in "query key value attn_mask dropout_p is_causal".split()]
    return graph.call_function(
        _aten.scaled_dot_product_attention.default, tuple(given), {"scale": a["scale"]}
    )


def _weight_norm(
    graph: fx.Graph, a: dict[str, Any], tensors: Mapping[str, Tensor]
) -> fx.Node | None:
    """Weight normalisation: ``g v / |v|``, with the norm over all dimensions but one."""
    v, g = a["v"], a["g"]
    if v.op != "get_attr":
        return None
    rank = tensors[str(v.target)].dim()
    kept = a["dim"] % rank if a["dim"] != -1 else None
    dims = [dim for dim in range(rank) if dim != kept]
    norm = graph.call_function(_aten.linalg_vector_norm.default, (v, 2, dims, True))
    safe = graph.call_function(_aten.clamp_min.default, (norm, _MIN_NORM))
    scale = graph.call_function(_aten.div.Tensor, (g, safe))
    return graph.call_function(_aten.mul.Tensor, (v, scale))


def _deform_conv2d(graph: fx.Graph, a: dict[str, Any], _tensors: object) -> fx.Node | None:
    """Replace NaN offsets by 0; the kernel would read memory outside the image."""
    names = [name for name in ("offset", "mask") if not _is_guarded(a[name])]
    if not names:
        return None
    for name in names:
        a[name] = graph.call_function(_aten.nan_to_num.default, (a[name], 0.0))
    return graph.call_function(_torchvision().deform_conv2d.default, tuple(a.values()))


def _roi_align(graph: fx.Graph, a: dict[str, Any], _tensors: object) -> fx.Node | None:
    """Clamp boxes and their image indices; the kernel would read memory outside the batch."""
    if not 0 < a["spatial_scale"] <= 1 or a["sampling_ratio"] > _MAX_SAMPLES:
        raise UnsupportedOpError(
            f"roi_align has a spatial scale of {a['spatial_scale']} and takes "
            f"{a['sampling_ratio']} samples; at most 1 and {_MAX_SAMPLES} are accepted"
        )
    boxes = graph.call_function(
        _aten.nan_to_num.default, (a["rois"], 0.0, _MAX_BOX_COORDINATE, -_MAX_BOX_COORDINATE)
    )
    corners = graph.call_function(_aten.slice.Tensor, (boxes, 1, 1, 5))
    near = graph.call_function(
        _aten.clamp.default, (corners, -_MAX_BOX_COORDINATE, _MAX_BOX_COORDINATE)
    )
    image = graph.call_function(_aten.slice.Tensor, (boxes, 1, 0, 1))
    count = graph.call_function(_aten.sym_size.int, (a["input"], 0))
    last = graph.call_function(operator.sub, (count, 1))
    first = graph.call_function(_aten.clamp_min.default, (image, 0))
    known = graph.call_function(_aten.clamp_max.default, (first, last))
    joined = graph.call_function(_aten.cat.default, ([known, near], 1))
    a["rois"] = graph.call_function(_aten.nan_to_num.default, (joined, 0.0))
    return graph.call_function(_torchvision().roi_align.default, tuple(a.values()))


def _is_guarded(value: object) -> bool:
    """Return whether a value is absent or already guarded against NaN by this module."""
    if not isinstance(value, fx.Node):
        return True
    return value.target is _aten.nan_to_num.default and value.args[1:2] == (0.0,)


def _torchvision() -> Any:  # noqa: ANN401  # namespace of operators; already imported, since the graph calls one
    return torch.ops.torchvision


_REWRITES: dict[str, _Rewrite] = {
    "deform_conv2d": _deform_conv2d,
    "roi_align": _roi_align,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_batch_norm": _batch_norm,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "_fused_rms_norm": _rms_norm,
    "convolution": _convolution,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_weight_norm": _weight_norm,
    "_weight_norm_interface": _weight_norm,
}
_MULTIPLE_RESULTS = _REWRITES.keys() - {"convolution", "_weight_norm", "deform_conv2d", "roi_align"}
