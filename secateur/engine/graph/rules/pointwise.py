"""Pointwise operators: a rule unites the labels of operands that share a position."""

from typing import Any

import torch
from torch import fx

from secateur.engine.graph.copies import are_copies, label_copies
from secateur.engine.graph.propagate import Labels, Output, Rule, Site

UNARY = """relu relu6 hardtanh hardswish hardsigmoid sigmoid silu gelu elu selu celu leaky_relu mish
    tanh softplus softsign logsigmoid log_sigmoid exp log log2 log1p sqrt rsqrt abs neg sign sin cos
    square reciprocal floor ceil round trunc erf erfc expm1 threshold
    hardshrink softshrink contiguous clone detach alias to _to_copy type_as dropout
    feature_dropout alpha_dropout nan_to_num logical_not isnan isinf zeros_like ones_like full_like
    rand_like lift_fresh_copy native_dropout positive bitwise_not rrelu bucketize
    """.split()
BINARY = """add sub mul div rsub pow maximum minimum fmod remainder where lerp addcmul addcdiv
    eq ne lt le gt ge logical_and logical_or logical_xor max min atan2 floor_divide clamp
    clamp_min clamp_max masked_fill bitwise_and bitwise_or
    """.split()


def unary(site: Site) -> Output:
    """Rule of operators on one tensor: keep its labels; only the type of others is read."""
    site.followed.update(site.node.all_input_nodes)
    return site.labels_of(site.node.args[0])


def combine(site: Site) -> Output:
    """Rule of operators that broadcast several tensors."""
    tensors = [v for v in site.node.all_input_nodes if isinstance(site.shapes[v], torch.Tensor)]
    return unite_broadcast(site, tensors, site.output_shape)


def unite_broadcast(site: Site, tensors: list[Any], output_shape: torch.Size) -> Labels:
    """Unite the labels of ``tensors``, aligned at the last dimension; return the output's labels.

    A tensor of full size but without label along a labelled dimension cannot lose a channel, so it
    pins that label, unless it holds copies there (`copies`).
    """
    output: Labels = {}
    rank = len(output_shape)
    for dim in range(rank):
        found, is_pinned = [], False
        copied: list[tuple[fx.Node, int]] = []
        for tensor in tensors:
            shape = site.shape_of(tensor)
            own = dim - (rank - len(shape))
            if own < 0 or shape[own] == 1:
                continue
            ids = site.labels_of(tensor).get(own)
            if ids is not None:
                found.append(ids)
            elif are_copies(site, tensor, own):
                copied.append((tensor, own))
            else:
                is_pinned = True
        for ids in found[1:]:
            site.atoms.unite(found[0], ids)
        if found and is_pinned:
            site.atoms.pin(
                found[0], "is combined with values that no parameter produces", site.node
            )
        elif found:
            output[dim] = found[0]
            for tensor, own in copied:
                label_copies(site, tensor, own, found[0])
    return output


def prelu(site: Site) -> Output:
    """Rule of ``prelu``: one slope for all channels, or one per channel of dimension 1."""
    labels = site.labels_of(site.node.args[0])
    slope: fx.Node = site.argument(1, "weight")
    own = site.labels_of(slope).get(0)
    if own is not None:
        if 1 in labels:
            site.atoms.unite(labels[1], own)
        else:
            site.atoms.pin(own, "scales channels that no parameter produces", site.node)
    elif site.shape_of(slope).numel() > 1:
        site.pin_label(labels, 1, "is combined with values that no parameter produces")
    return labels


def gated_linear_unit(site: Site) -> Output:
    """Rule of ``glu``: unite the two halves of a dimension; the output has the first's label."""
    labels = site.labels_of(site.node.args[0])
    dim = site.literal(1, "dim", -1) % len(site.output_shape)
    if dim in labels:
        values, gates = labels[dim].chunk(2)
        site.atoms.unite(values, gates)
        labels[dim] = values
    return labels


RULES: dict[str, Rule] = {
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys(BINARY, combine),
    "prelu": prelu,
    "glu": gated_linear_unit,
    "_prelu_kernel": combine,
}
