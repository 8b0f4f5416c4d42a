"""Products and distances of vectors and tensors: the contracted dimensions are united."""

import torch

from secateur.engine.graph.atoms import MemberRole
from secateur.engine.graph.propagate import Labels, Output, Rule, Site
from secateur.engine.graph.rules.contraction import add_bias, contract
from secateur.engine.graph.rules.pointwise import unite_broadcast
from secateur.engine.program.functional import op_name


def matrix_vector(site: Site) -> Output:
    """Rule of ``mv``: a (M, K) times b (K)."""
    a, b = site.node.args[0], site.argument(1, "vec")
    rows, vector = site.labels_of(a), site.labels_of(b)
    _contract(site, rows.pop(1, None), vector.get(0), [a, b])
    site.atoms.set_role(rows.get(0), MemberRole.PRODUCER)
    return rows


def dot(site: Site) -> Output:
    """Rule of ``dot`` and ``vdot``: the sum of the products of two vectors."""
    a, b = site.node.args[0], site.argument(1, "tensor")
    _contract(site, site.labels_of(a).get(0), site.labels_of(b).get(0), [a, b])
    return {}


def tensordot(site: Site) -> Output:
    """Rule of ``tensordot``: contract pairs of dimensions; the others stand in order."""
    a, b = site.node.args[0], site.argument(1, "other")
    first, second = site.labels_of(a), site.labels_of(b)
    rank_a, rank_b = len(site.shape_of(a)), len(site.shape_of(b))
    gone_a = [dim % rank_a for dim in site.literal(2, "dims_self")]
    gone_b = [dim % rank_b for dim in site.literal(3, "dims_other")]
    for own, other in zip(gone_a, gone_b, strict=True):
        _contract(site, first.pop(own, None), second.pop(other, None), [a, b])
    left_a = [dim for dim in range(rank_a) if dim not in gone_a]
    left_b = [dim for dim in range(rank_b) if dim not in gone_b]
    output = {left_a.index(dim): ids for dim, ids in first.items()}
    output |= {len(left_a) + left_b.index(dim): ids for dim, ids in second.items()}
    for ids in output.values():
        site.atoms.set_role(ids, MemberRole.PRODUCER)
    return output


def bilinear(site: Site) -> Output:
    """Rule of ``bilinear``: x (..., A) and y (..., B) with weight (O, A, B) and bias (O)."""
    x, y, weight, bias = [*site.node.args, None][:4]
    filters, last = site.labels_of(weight), len(site.output_shape) - 1
    shape = torch.Size([*site.output_shape[:-1], 1])
    labels = {d: ids for d, ids in unite_broadcast(site, [x, y], shape).items() if d != last}
    for value, dim in ((x, 1), (y, 2)):
        contract(
            site, site.labels_of(value).get(last), filters.get(dim), [weight, value], is_weight=True
        )
    if 0 in filters:
        site.atoms.set_role(filters[0], MemberRole.PRODUCER)
        labels[last] = filters[0]
    add_bias(site, labels, last, bias)
    return labels


def similarity(site: Site) -> Output:
    """Rule of ``cosine_similarity`` and ``pairwise_distance``: one dimension is summed."""
    operands = [site.node.args[0], site.node.args[1]]
    shapes = [site.shape_of(value) for value in operands]
    shape = torch.broadcast_shapes(*shapes)
    labels = unite_broadcast(site, operands, shape)
    is_cosine = op_name(site.node.target) == "cosine_similarity"
    dim = (site.literal(2, "dim", 1) if is_cosine else -1) % len(shape)
    ids = labels.pop(dim, None)
    if ids is not None:
        site.atoms.dissolve(ids, site.node, operands)
        # A distance adds its eps to every difference, also to those of removed channels.
        if is_cosine:
            site.atoms.doubt(ids, site.node, operands, is_all=True)
        else:
            site.atoms.mark_inexact(ids, site.node)
    if len(site.output_shape) == len(shape):
        return labels
    return {each - (each > dim): ids for each, ids in labels.items()}


def cross(site: Site) -> Output:
    """Rule of ``cross``: the three components are positions."""
    operands = [site.node.args[0], site.argument(1, "other")]
    labels = unite_broadcast(site, operands, site.output_shape)
    sizes = list(site.output_shape)
    given = site.literal(2, "dim", None if op_name(site.node.target) == "cross" else -1)
    dim = sizes.index(3) if given is None else given % len(sizes)
    site.pin_label(labels, dim, "is a component of a vector")
    return labels


def distances(site: Site) -> Output:
    """Rule of ``cdist``: x (..., P, M) and y (..., R, M) give (..., P, R)."""
    x, y = site.node.args[0], site.argument(1, "x2")
    first, second = site.labels_of(x), site.labels_of(y)
    rank = len(site.output_shape)
    if len(site.shape_of(x)) != rank or len(site.shape_of(y)) != rank:
        site.pin_inputs("is a batch of distances that is broadcast")
        return {}
    _contract(site, first.pop(rank - 1, None), second.pop(rank - 1, None), [x, y])
    rows, columns = first.pop(rank - 2, None), second.pop(rank - 2, None)
    labels: Labels = {}
    for dim in range(rank - 2):
        if dim in first and dim in second:
            site.atoms.unite(first[dim], second[dim])
            labels[dim] = first[dim]
        else:
            for each in (first, second):
                site.pin_label(each, dim, "is combined with values that no parameter produces")
    for dim, ids in ((rank - 2, rows), (rank - 1, columns)):
        if ids is not None:
            site.atoms.set_role(ids, MemberRole.PRODUCER)
            labels[dim] = ids
    return labels


def _contract(
    site: Site, a: torch.Tensor | None, b: torch.Tensor | None, values: list[object]
) -> None:
    contract(site, a, b, values, is_weight=False)
    for ids in (a, b):
        site.atoms.set_role(ids, MemberRole.CONSUMER)


RULES: dict[str, Rule] = {
    "mv": matrix_vector,
    **dict.fromkeys(["dot", "vdot"], dot),
    "tensordot": tensordot,
    "bilinear": bilinear,
    **dict.fromkeys(["cosine_similarity", "pairwise_distance"], similarity),
    **dict.fromkeys(["cross", "linalg_cross"], cross),
    "cdist": distances,
}
