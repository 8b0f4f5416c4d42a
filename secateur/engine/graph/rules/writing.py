"""Functional form of writes through a view: a value with a part replaced by another value.

A rule unites the channels of the part with the channels of the whole that they replace. Partial
convolutions and shifts along time can be pruned this way.
"""

import torch

from secateur.engine.graph.propagate import Labels, Output, Rule, Site
from secateur.engine.graph.rules.pointwise import combine, unary, unite_broadcast


def slice_scatter(site: Site) -> Output:
    """Rule of ``slice_scatter``: unite the part's labels with those of the slice it replaces."""
    whole, part = site.node.args[0], site.argument(1, "src")
    rank = len(site.output_shape)
    along = site.literal(2, "dim", 0) % rank
    output, labels = site.labels_of(whole), site.labels_of(part)
    if site.literal(5, "step", 1) != 1:
        site.pin_label(output, along, "is written with a step")
        site.pin_label(labels, along, "is written with a step")
    size = site.output_shape[along]
    first, last, _ = slice(site.literal(3, "start"), site.literal(4, "end")).indices(size)
    ids, own = output.get(along), labels.pop(along, None)
    if ids is not None:
        replaced = ids[first:last]
        if own is not None:
            site.atoms.unite(replaced, own)
        else:
            site.atoms.pin(replaced, "is replaced by values that no parameter produces", site.node)
    elif own is not None:
        site.atoms.pin(own, "is written into values that no parameter produces", site.node)
    _unite_others(site, output, labels, along)
    return output


def select_scatter(site: Site) -> Output:
    """Rule of ``select_scatter``: pin its dimension, unite along the others."""
    output, labels = site.labels_of(site.node.args[0]), site.labels_of(site.argument(1, "src"))
    along = site.literal(2, "dim") % len(site.output_shape)
    site.pin_label(output, along, "is written to by position")
    shifted = {dim + (dim >= along): ids for dim, ids in labels.items()}
    _unite_others(site, output, shifted, along)
    return output


def index_put(site: Site) -> Output:
    """Rule of ``index_put``, ``x[mask] = v`` and ``x[:, :, i] = v``: indexed dimensions are pinned.

    A mask of the same shape and one number as value change single elements, as ``where`` does.
    """
    value, places = site.node.args[0], list(site.argument(1, "indices"))
    new, rank = site.argument(2, "values"), len(site.output_shape)
    is_mask = len(places) == 1 and site.shapes[places[0]].dtype is torch.bool
    if (
        is_mask
        and site.shape_of(places[0]) == site.output_shape
        and site.shape_of(new).numel() == 1
    ):
        return unite_broadcast(site, [value, places[0]], site.output_shape)
    labels = site.labels_of(value)
    if any(place is not None and site.shapes[place].dtype is torch.bool for place in places):
        site.pin_inputs("is indexed by a mask")
        return {}
    shape = site.shape_of(new)
    for dim in list(labels):
        is_fixed = shape[dim - rank :][:1] not in {torch.Size([1]), torch.Size()}
        if (dim < len(places) and places[dim] is not None) or is_fixed:
            site.pin_label(labels, dim, "is written to by position")
    return labels


def _unite_others(site: Site, output: Labels, labels: Labels, along: int) -> None:
    """Unite the labels of the whole and its part along the dimensions that they share."""
    for dim in range(len(site.output_shape)):
        if dim == along:
            continue
        whole, part = output.get(dim), labels.get(dim)
        if whole is not None and part is not None:
            site.atoms.unite(whole, part)
        elif part is not None:
            site.atoms.pin(part, "is written into values that no parameter produces", site.node)
        else:
            site.pin_label(output, dim, "is replaced by values that no parameter produces")


RULES: dict[str, Rule] = {
    "slice_scatter": slice_scatter,
    "select_scatter": select_scatter,
    "index_put": index_put,
    "copy": combine,
    "fill": unary,
}
