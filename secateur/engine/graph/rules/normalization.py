"""Normalisation: allowed over a prunable dimension, but inexact if its values change."""

from torch import Tensor, fx

from secateur.engine.graph.atoms import MemberRole
from secateur.engine.graph.propagate import Labels, Output, Rule, Site


def batch_norm(site: Site) -> Output:
    """Rule of ``batch_norm`` and ``instance_norm``: unite channels with affine and statistics."""
    labels = site.labels_of(site.node.args[0])
    parameters = [site.argument(index, "") for index in range(1, 5)]
    _unite_affine(site, labels, 1, parameters)
    if site.literal(5, "training", default=False):  # uses the statistics of the batch
        for dim, ids in labels.items():
            if dim != 1:
                site.atoms.mark_inexact(ids, site.node)
    return labels


def layer_norm(site: Site) -> Output:
    """Rule of ``layer_norm`` and ``rms_norm``: inexact over the normalised dimensions."""
    x = site.node.args[0]
    labels = site.labels_of(x)
    rank = len(site.shape_of(x))
    num_normalised = len(site.literal(1, "normalized_shape"))
    for index, name in ((2, "weight"), (3, "bias")):
        parameter = site.argument(index, name)
        if not isinstance(parameter, fx.Node):
            continue
        found = site.labels_of(parameter)
        for own, size in enumerate(site.shape_of(parameter)):
            dim = rank - num_normalised + own
            if own in found:
                _unite_one(site, labels, dim, found[own])
            elif size > 1:
                site.pin_label(labels, dim, "is combined with values that no parameter produces")
    for dim in range(rank - num_normalised, rank):
        if dim in labels:
            _mark(site, labels[dim])
    return labels


def group_norm(site: Site) -> Output:
    """Rule of ``group_norm``: unite the j-th channel of every group; inexact.

    Whole groups, where `blocks` has the call, are exact.
    """
    labels = site.labels_of(site.node.args[0])
    num_groups = int(site.literal(1, "num_groups"))
    _unite_affine(site, labels, 1, [site.argument(2, "weight"), site.argument(3, "bias")])
    ids = labels.get(1)
    if ids is not None and site.node in site.blocks:
        rows = ids.view(num_groups, -1)
        site.atoms.unite(rows, rows[:, :1])
    elif ids is not None and len(ids) != num_groups:
        rows = ids.view(num_groups, -1)
        site.atoms.unite(rows, rows[:1])
        _mark(site, ids)
    return labels


def softmax(site: Site) -> Output:
    """Rule of ``softmax`` and ``log_softmax``: inexact over their dimension."""
    x = site.node.args[0]
    labels = site.labels_of(x)
    dim = int(site.literal(1, "dim", -1)) % max(1, len(site.shape_of(x)))
    if dim in labels:
        site.atoms.mark_inexact(labels[dim], site.node)
    return labels


def cumulate(site: Site) -> Output:
    """Rule of ``cumsum``: pin its dimension, because each value depends on its position."""
    x = site.node.args[0]
    labels = site.labels_of(x)
    dim = int(site.literal(1, "dim", -1)) % max(1, len(site.shape_of(x)))
    site.pin_label(labels, dim, "is summed cumulatively")
    return labels


def _mark(site: Site, ids: Tensor) -> None:
    """Mark channels inexact, unless compaction goes on counting removed ones as zeros."""
    if site.atoms.exact_norms is None:
        site.atoms.mark_inexact(ids, site.node)
    else:
        site.atoms.exact_norms.add(site.node)
        site.atoms.doubt(ids, site.node, [site.node.args[0]])


def _unite_affine(site: Site, labels: Labels, dim: int, parameters: list[object]) -> None:
    for parameter in parameters:
        if isinstance(parameter, fx.Node):
            found = site.labels_of(parameter)
            for ids in found.values():
                _unite_one(site, labels, dim, ids)
            if not found and site.shape_of(parameter).numel() > 1:
                site.pin_label(labels, dim, "is combined with values that no parameter produces")


def _unite_one(site: Site, labels: Labels, dim: int, ids: Tensor) -> None:
    site.atoms.set_role(ids, MemberRole.AFFINE)
    if dim in labels:
        site.atoms.unite(labels[dim], ids)
    else:
        site.atoms.pin(ids, "normalises channels that cannot be pruned", site.node)


RULES: dict[str, Rule] = {
    "batch_norm": batch_norm,
    "instance_norm": batch_norm,
    "layer_norm": layer_norm,
    "rms_norm": layer_norm,
    "group_norm": group_norm,
    **dict.fromkeys(["softmax", "log_softmax", "_softmax", "_log_softmax"], softmax),
    "cumsum": cumulate,
}
