"""Functional form of writes through a view: a value with a part replaced by another value.

A rule unites the channels of the part with the channels of the whole that they replace. Partial
convolutions and shifts along time can be pruned this way.
"""

from secateur.engine.graph.propagate import Labels, Output, Rule, Site
from secateur.engine.graph.rules.pointwise import combine, unary


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
    "copy": combine,
    "fill": unary,
}
