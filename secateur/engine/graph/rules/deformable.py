"""Deformable convolution (Dai et al. 2017, arXiv:1703.06211), as torchvision computes it."""

from secateur.engine.graph.atoms import MemberRole
from secateur.engine.graph.propagate import Output, Rule, Site
from secateur.engine.graph.rules.contraction import align_groups, contract


def deformable_convolution(site: Site) -> Output:
    """Rule of ``deform_conv2d``: a convolution; labels of its offsets and masks are pinned."""
    x, weight, offset, mask, bias = site.node.args[:5]
    for value in (offset, mask):
        labels = site.labels_of(value)
        for dim in list(labels):
            site.pin_label(labels, dim, "is an offset of a deformable convolution")
    groups, offset_groups = site.literal(11, "groups"), site.literal(12, "offset_groups")
    labels, filters = site.labels_of(x), site.labels_of(weight)
    if groups > 1 and site.shape_of(weight)[1] == 1:
        site.pin_inputs("is in a deformable convolution of single channels")
        return {}
    for dim in (2, 3):
        site.pin_label(labels, dim, "is a position that is resampled")
        site.pin_label(filters, dim, "is a position in the kernel")
    channels = labels.pop(1, None)
    if channels is not None and offset_groups > 1:  # each has as many channels as the others
        rows = channels.view(offset_groups, -1)
        site.atoms.unite(rows, rows[:1])
    if groups == 1:
        contract(site, channels, filters.get(1), [weight, x], is_weight=True)
        ids = filters.get(0)
    else:
        ids = align_groups(site, channels, filters, groups, is_transposed=False)
    shift = site.labels_of(bias).get(0)
    if ids is not None:
        site.atoms.set_role(ids, MemberRole.PRODUCER)
        labels[1] = ids
    if shift is not None:
        site.atoms.set_role(shift, MemberRole.AFFINE)
        if ids is not None:
            site.atoms.unite(ids, shift)
        else:
            site.atoms.pin(shift, "shifts channels that cannot be pruned", site.node)
    return labels


RULES: dict[str, Rule] = {"deform_conv2d": deformable_convolution}
