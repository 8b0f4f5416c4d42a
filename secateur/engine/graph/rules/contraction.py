"""Contractions: convolution, linear layers, matrix products, attention.

A rule unites the labels of the contracted dimensions and takes the output's labels from the
operands. Weights are ordinary values with labels, so a weight computed by other operators (weight
standardisation, reparametrisation) needs no special case.
"""

from collections.abc import Sequence

from torch import Tensor, fx

from secateur.engine.graph.atoms import MemberRole
from secateur.engine.graph.propagate import Labels, Output, Rule, Site
from secateur.engine.program.functional import op_name


def convolution(site: Site) -> Output:
    """Rule of conv1d to conv3d and ``convolution``: x (N, C, …), weight (O, C / groups, …)."""
    x, weight, bias = site.node.args[0], site.argument(1, "weight"), site.argument(2, "bias")
    is_general = op_name(site.node.target) == "convolution"
    place = 8 if is_general else 6
    groups = site.literal(place, "groups", 1)
    if isinstance(site.argument(place, "groups"), fx.Node):  # CondConv, modulated convolution
        labels = site.labels_of(x)
        for dim in list(labels):
            site.pin_label(labels, dim, "is filtered by kernels of its own for each sample")
        x = None  # the kernels' own channels are pruned
    is_transposed = is_general and bool(site.literal(6, "transposed", default=False))
    return _convolve(site, x, weight, bias, groups, is_transposed=is_transposed)


def transposed_convolution(site: Site) -> Output:
    """Rule of conv_transpose1d to 3d: weight (C, O / groups, …)."""
    x, weight, bias = site.node.args[0], site.argument(1, "weight"), site.argument(2, "bias")
    return _convolve(site, x, weight, bias, site.literal(6, "groups", 1), is_transposed=True)


def linear(site: Site) -> Output:
    """Rule of ``linear``: x (…, C), weight (O, C), bias (O)."""
    x, weight, bias = site.node.args[0], site.argument(1, "weight"), site.argument(2, "bias")
    labels, w = site.labels_of(x), site.labels_of(weight)
    last = len(site.shape_of(x)) - 1
    contract(site, labels.pop(last, None), w.get(1), [weight, x], is_weight=True)
    output = w.get(0)
    if output is not None:
        site.atoms.set_role(output, MemberRole.PRODUCER)
        labels[last] = output
    add_bias(site, labels, last, bias)
    return labels


def matrix_product(site: Site) -> Output:
    """Rule of ``matmul``, ``mm`` and ``bmm``: a (…, M, K) times b (…, K, N)."""
    a, b = site.node.args[0], site.argument(1, "other")
    return _product(site, a, b)


def add_matrix_product(site: Site) -> Output:
    """Rule of ``addmm`` and ``baddbmm``: bias + a b."""
    bias, a, b = site.node.args[0], site.argument(1, "mat1"), site.argument(2, "mat2")
    output = _product(site, a, b)
    _unite_operand(site, output, bias, site.labels_of(bias), MemberRole.AFFINE)
    return output


def attention(site: Site) -> Output:
    """Rule of scaled_dot_product_attention: q (…, L, E), k (…, S, E), v (…, S, V) → (…, L, V).

    The scale stays 1 / sqrt(E) of the original width E; compaction writes it into the graph.
    """
    q, k, v = site.node.args[0], site.argument(1, "key"), site.argument(2, "value")
    rank = len(site.output_shape)
    labels = [site.labels_of(value) for value in (q, k, v)]
    widths = [found.pop(rank - 1, None) for found in labels]
    contract(site, widths[0], widths[1], [q, k], is_weight=False)
    for found in labels:
        site.pin_label(found, rank - 2, "is a position of attention")
    output: Labels = {}
    for dim in range(rank - 2):
        if len({site.shape_of(value)[dim] for value in (q, k, v)}) > 1:
            for found in labels:
                site.pin_label(found, dim, "is shared by several heads of attention")
        _merge_batch(site, output, dim, [found.get(dim) for found in labels])
    _unite_mask(site, output, site.argument(3, "attn_mask"))
    if widths[2] is not None:
        output[rank - 1] = widths[2]
    return output


def _unite_mask(site: Site, output: Labels, mask: object) -> None:
    """Unite the heads of attention with those of its mask (…, L, S); pin the mask's positions."""
    found, rank = site.labels_of(mask), len(site.shape_of(mask))
    for dim in (rank - 2, rank - 1):
        site.pin_label(found, dim, "is a position of attention")
    _unite_operand(site, output, mask, found, MemberRole.OTHER)


def _unite_operand(
    site: Site, output: Labels, value: object, found: Labels, role: MemberRole
) -> None:
    """Unite a broadcast operand's labels with the output's; pin a label without counterpart."""
    shape = site.shape_of(value)
    for own, size in enumerate(shape):
        dim = len(site.output_shape) - len(shape) + own
        site.atoms.set_role(found.get(own), role)
        if own in found and dim in output:
            site.atoms.unite(output[dim], found[own])
        elif size > 1:
            side, at = (found, own) if own in found else (output, dim)
            site.pin_label(side, at, "is combined with values that no parameter produces")


def contract(
    site: Site, x: Tensor | None, w: Tensor | None, factors: Sequence[object], *, is_weight: bool
) -> None:
    """Unite the labels ``x`` and ``w`` of a contracted dimension of ``factors``.

    If only one factor has a label, pin it.
    """
    if is_weight:
        site.atoms.set_role(w, MemberRole.CONSUMER)
    if x is not None and w is not None:
        site.atoms.unite(x, w)
        site.atoms.dissolve(x, site.node, factors)
        site.atoms.doubt(x, site.node, factors)
    elif x is not None:
        site.atoms.pin(x, "is contracted with values that no parameter produces", site.node)
    elif w is not None:
        site.atoms.pin(w, "reads the network's input, or values that cannot be pruned", site.node)


def _convolve(
    site: Site, x: object, weight: object, bias: object, groups: int, *, is_transposed: bool
) -> Labels:
    labels, w = site.labels_of(x), site.labels_of(weight)
    shape = site.shape_of(weight)
    for dim in range(2, len(shape)):
        site.pin_label(w, dim, "is a position in the kernel")
    inputs, outputs = (w.get(0), w.get(1)) if is_transposed else (w.get(1), w.get(0))
    channels = labels.pop(1, None)
    _keep_spatial(site, labels, x, weight)
    if groups == 1:
        contract(site, channels, inputs, [weight, x], is_weight=True)
        ids = outputs
    else:
        ids = align_groups(site, channels, w, groups, is_transposed=is_transposed)
    if ids is not None:
        site.atoms.set_role(ids, MemberRole.PRODUCER)
        labels[1] = ids
    add_bias(site, labels, 1, bias)
    return labels


def align_groups(
    site: Site, channels: Tensor | None, w: Labels, groups: int, *, is_transposed: bool
) -> Tensor | None:
    """Unite the j-th channel of every group; if depthwise, unite each input with its outputs."""
    first, second = w.get(0), w.get(1)
    if is_transposed:  # weight (C, O / groups): rows belong to groups, columns repeat in each
        columns = None if second is None else second.repeat(groups)
        inputs, outputs = first, columns
    else:  # weight (O, C / groups)
        columns = None if second is None else second.repeat(groups)
        inputs, outputs = columns, first
    weight = site.argument(1, "weight")
    shape = site.shape_of(weight)
    is_depthwise = shape[0] == groups if is_transposed else shape[1] == 1
    if not is_depthwise:
        contract(site, channels, inputs, [weight, site.node.args[0]], is_weight=True)
        for ids in (channels, inputs, outputs):
            if ids is not None:
                site.atoms.unite(ids.view(groups, -1), ids.view(groups, -1)[:1])
        return outputs
    if is_transposed:
        contract(site, channels, first, [weight, site.node.args[0]], is_weight=True)
        if second is not None:
            site.atoms.pin(
                second, "is shared by every group of a transposed convolution", site.node
            )
        return None if first is None else first.repeat_interleave(shape[1])
    if channels is None:
        if first is not None:
            site.atoms.pin(first, "filters single channels that cannot be pruned", site.node)
        return None
    if first is None:
        site.atoms.pin(channels, "is contracted with values that no parameter produces", site.node)
        return None
    site.atoms.unite(channels.view(groups, 1), first.view(groups, -1))
    return first


def _keep_spatial(site: Site, labels: Labels, x: object, weight: object) -> None:
    """Handle labels along space: mark a window that keeps the size inexact, pin the others."""
    before, after = site.shape_of(x), site.output_shape
    kernel = site.shape_of(weight)
    for dim in list(labels):
        if dim > 1 and kernel[dim] > 1 and before[dim] == after[dim]:
            site.atoms.mark_inexact(labels[dim], site.node)  # efficient channel attention
        elif dim > 1 and kernel[dim] == 1 and before[dim] == after[dim]:
            continue
        else:
            site.pin_label(labels, dim, "is a position of a convolution")


def _product(site: Site, a: object, b: object) -> Labels:
    rank = len(site.output_shape)
    shape_a, shape_b = site.shape_of(a), site.shape_of(b)
    if len(shape_a) < 2 or len(shape_b) < 2:  # noqa: PLR2004  # a matrix has two dimensions
        site.pin_inputs("is a product with a vector")
        return {}
    x, w = site.labels_of(a), site.labels_of(b)
    k_a, k_b = x.pop(len(shape_a) - 1, None), w.pop(len(shape_b) - 2, None)
    contract(site, k_a, k_b, [a, b], is_weight=False)
    for ids in (k_a, k_b):
        site.atoms.set_role(ids, MemberRole.CONSUMER)
    rows, columns = x.pop(len(shape_a) - 2, None), w.pop(len(shape_b) - 1, None)
    output: Labels = {}
    for dim in range(rank - 2):
        own_a, own_b = dim - rank + len(shape_a), dim - rank + len(shape_b)
        sides = [(x, own_a, shape_a), (w, own_b, shape_b)]
        full = [found.get(own) for found, own, shape in sides if own >= 0 and shape[own] > 1]
        _merge_batch(site, output, dim, full)
    for dim, ids in ((rank - 2, rows), (rank - 1, columns)):
        if ids is not None:
            site.atoms.set_role(ids, MemberRole.PRODUCER)
            output[dim] = ids
    return output


def _merge_batch(site: Site, output: Labels, dim: int, found: list[Tensor | None]) -> None:
    for ids in found:
        if ids is not None:
            site.atoms.share(ids, site.node)
    _merge(site, output, dim, found)


def _merge(site: Site, output: Labels, dim: int, found: list[Tensor | None]) -> None:
    present = [ids for ids in found if ids is not None]
    for ids in present[1:]:
        site.atoms.unite(present[0], ids)
    if present and len(present) == len(found):
        output[dim] = present[0]
    elif present:
        site.atoms.pin(present[0], "is combined with values that no parameter produces", site.node)


def add_bias(site: Site, labels: Labels, dim: int, bias: object) -> None:
    """Unite a bias with the channels that it shifts."""
    if not isinstance(bias, fx.Node):
        return
    found = site.labels_of(bias)
    ids = found.get(len(site.shape_of(bias)) - 1)
    if ids is None:
        if site.shape_of(bias)[-1:] != (1,):  # one number per channel
            site.pin_label(labels, dim, "is combined with values that no parameter produces")
        return
    site.atoms.set_role(ids, MemberRole.AFFINE)
    if dim in labels:
        site.atoms.unite(labels[dim], ids)
    else:
        site.atoms.pin(ids, "shifts channels that cannot be pruned", site.node)


RULES: dict[str, Rule] = {
    **dict.fromkeys(["conv1d", "conv2d", "conv3d", "convolution"], convolution),
    **dict.fromkeys(
        ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"], transposed_convolution
    ),
    "linear": linear,
    **dict.fromkeys(["matmul", "mm", "bmm"], matrix_product),
    **dict.fromkeys(["addmm", "baddbmm"], add_matrix_product),
    "scaled_dot_product_attention": attention,
}
