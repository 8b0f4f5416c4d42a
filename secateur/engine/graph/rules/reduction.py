"""Reductions, pooling and resampling: channels keep their labels unless they are reduced."""

from secateur.engine.graph.propagate import Labels, Output, Rule, Site
from secateur.engine.program.functional import op_name

POOLS = """max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d lp_pool2d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d upsample_bicubic2d
    upsample_linear1d upsample_trilinear3d _upsample_nearest_exact2d grid_sampler
    _adaptive_avg_pool2d max_pool2d_with_indices _upsample_bilinear2d_aa upsample_nearest_exact2d
    """.split()
REDUCTIONS = """mean sum amax amin var std norm linalg_vector_norm prod logsumexp var_mean std_mean
    max min nanmean nansum linalg_norm aminmax
    """.split()
# These return positions or truth values, not the values themselves.
POSITIONS = "argmax argmin any all".split()


def pool(site: Site) -> Output:
    """Rule of pooling and interpolation, which work on space; channels keep their labels."""
    labels = site.labels_of(site.node.args[0])
    for dim in [d for d in labels if d > 1]:
        _pool_along(site, labels, dim)
    if isinstance(site.shapes[site.node], (list, tuple)):
        return [dict(labels) for _ in site.shapes[site.node]]
    return labels


def unpool(site: Site) -> Output:
    """Rule of ``max_unpool2d`` and 3d: unite the channels of the values and of their positions."""
    labels, places = site.labels_of(site.node.args[0]), site.labels_of(site.argument(1, "indices"))
    space = 2 if op_name(site.node.target) == "max_unpool2d" else 3
    for dim in range(len(site.output_shape)):
        if dim >= len(site.output_shape) - space or dim not in labels or dim not in places:
            for each in (labels, places):
                site.pin_label(each, dim, "is a position that is pooled or resampled")
        else:
            site.atoms.unite(labels[dim], places[dim])
    return labels


def _pool_along(site: Site, labels: Labels, dim: int) -> None:
    """Handle a label along a pooled dimension: mark a window of stride 1 inexact, pin the rest.

    Local response normalisation, for example, averages over neighbouring channels.
    """
    ids = labels[dim]
    is_channel = ids >= 0  # -1 is padding
    size, stride, padding = _window(site, dim)
    if stride == 1 and int(is_channel.sum()) == site.output_shape[dim]:
        labels[dim] = ids[is_channel]
        if size > 1:
            site.atoms.mark_inexact(labels[dim], site.node)
    elif (size, stride, padding) != (1, 1, 0):
        site.pin_label(labels, dim, "is a position that is pooled or resampled")


def _window(site: Site, dim: int) -> tuple[int, int, int]:
    """Return size, stride and padding of a pooling window along ``dim``, or zeros."""
    if not op_name(site.node.target).startswith(("avg_pool", "max_pool")):
        return 0, 0, 0
    sizes = site.literal(1, "kernel_size")
    given = (sizes, site.literal(2, "stride") or sizes, site.literal(3, "padding", 0))
    size, stride, padding = (
        value if isinstance(value, int) else value[(dim - 2) % len(value)] for value in given
    )
    return size, stride, padding


def reduce(site: Site) -> Output:
    """Rule of reductions: reduced dimensions lose their label; inexact, but for sums of zeros."""
    if _are_indices_read(site):
        return locate(site)
    labels = site.labels_of(site.node.args[0])
    for dim in _dims(site) & labels.keys():
        ids = labels.pop(dim)
        if _is_sum(site):
            site.atoms.doubt(ids, site.node, [site.node.args[0]])
        else:
            site.atoms.mark_inexact(ids, site.node)
        site.atoms.dissolve(ids, site.node, [site.node.args[0]])
    return _remaining(site, labels)


def _is_sum(site: Site) -> bool:
    """Return whether zeros do not change the result: sums, and norms of an order of 0 or more."""
    name = op_name(site.node.target)
    if name in {"sum", "nansum"}:
        return True
    order = site.literal(1, "ord" if name == "linalg_vector_norm" else "p", 2)
    is_norm = name in {"norm", "linalg_vector_norm"} and isinstance(order, (int, float))
    return is_norm and order >= 0


def locate(site: Site) -> Output:
    """Rule of ``argmax``, ``any`` and the like: pin the reduced dimensions."""
    labels = site.labels_of(site.node.args[0])
    for dim in _dims(site):
        site.pin_label(labels, dim, "is identified by its position")
    return _remaining(site, labels)


def _are_indices_read(site: Site) -> bool:
    """Return whether the second result of ``max`` or ``min``, the position, is read."""
    if op_name(site.node.target) not in {"max", "min"}:
        return False
    return any(user.args[1:] == (1,) and len(user.users) > 0 for user in site.node.users)


def _remaining(site: Site, labels: Labels) -> Output:
    """Return the labels of the remaining dimensions, renumbered for the output."""
    rank = len(site.shape_of(site.node.args[0]))
    reduced = _dims(site)
    left = [dim for dim in range(rank) if dim not in reduced]
    is_kept = len(site.output_shape) == rank
    output: Labels = {(dim if is_kept else left.index(dim)): ids for dim, ids in labels.items()}
    if isinstance(site.shapes[site.node], (list, tuple)):
        return [dict(output) for _ in site.shapes[site.node]]
    return output


def _dims(site: Site) -> set[int]:
    rank = len(site.shape_of(site.node.args[0]))
    schema = site.node.target._schema  # type: ignore[union-attr]  # noqa: SLF001
    names = [argument.name for argument in schema.arguments]
    for name in ("dim", "dims"):
        if name in names:
            dims = site.literal(names.index(name), name)
            if dims is None or dims == []:
                break
            return {d % rank for d in ([dims] if isinstance(dims, int) else dims)}
    return set(range(rank))


RULES: dict[str, Rule] = {
    **dict.fromkeys(REDUCTIONS, reduce),
    **dict.fromkeys(POSITIONS, locate),
    **dict.fromkeys(POOLS, pool),
    **dict.fromkeys(["max_unpool2d", "max_unpool3d"], unpool),
}
