"""Operators along one or more dimensions, such as sorting: the other dimensions keep their labels.

The result at an index of such a dimension depends on all of its indices, so its label is pinned.
"""

from typing import Any

from secateur.engine.graph.propagate import Labels, Output, Rule, Site
from secateur.engine.graph.rules.movement import unite_along
from secateur.engine.program.functional import op_name

# Position of the dimension among the arguments, and its default. The number of dimensions stays.
_ALONG: dict[str, tuple[int | None, int | tuple[int, ...] | None]] = {
    "sort": (1, -1),
    "argsort": (1, -1),
    "topk": (2, -1),
    "msort": (None, 0),
    "cummax": (1, -1),
    "cummin": (1, -1),
    "cumprod": (1, -1),
    "logcumsumexp": (1, -1),
    "diff": (2, -1),
    "triu": (None, (-2, -1)),
    "tril": (None, (-2, -1)),
    **dict.fromkeys("fft_fft fft_ifft fft_rfft fft_irfft fft_hfft fft_ihfft".split(), (2, -1)),
    **dict.fromkeys("fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2".split(), (2, (-2, -1))),
    **dict.fromkeys("fft_fftn fft_ifftn fft_rfftn fft_irfftn".split(), (2, None)),
    **dict.fromkeys(["fft_fftshift", "fft_ifftshift"], (1, None)),
}
# These remove their dimension, unless keepdim is set.
_REDUCED: dict[str, tuple[int, int | None]] = {
    "kthvalue": (2, -1),
    "median": (1, None),
    "nanmedian": (1, None),
    "mode": (1, -1),
    "quantile": (2, None),
    "nanquantile": (2, None),
}


def along(site: Site) -> Output:
    """Rule of operators that keep the number of dimensions."""
    dims = _dims(site, *_ALONG[op_name(site.node.target)])
    rank = len(site.shape_of(site.node.args[0]))
    items = [v for v in site.node.all_input_nodes if len(site.shape_of(v)) == rank]
    for item in items:
        labels = site.labels_of(item)
        for dim in dims:
            site.pin_label(labels, dim, f"is ordered or mixed by {op_name(site.node.target)}")
    return _each(site, unite_along(site, items, [d for d in range(rank) if d not in dims]))


def reduced(site: Site) -> Output:
    """Rule of operators that return one value of a dimension."""
    value = site.node.args[0]
    labels, rank = site.labels_of(value), len(site.shape_of(value))
    dims = _dims(site, *_REDUCED[op_name(site.node.target)])
    for dim in dims:
        site.pin_label(labels, dim, f"is ordered or mixed by {op_name(site.node.target)}")
    if op_name(site.node.target) in {"quantile", "nanquantile"}:  # quantiles come first
        for dim in list(labels):
            site.pin_label(labels, dim, "flows into quantile")
    if len(site.output_shape) == rank:
        return _each(site, labels)
    left = [dim for dim in range(rank) if dim not in dims]
    return _each(site, {left.index(dim): ids for dim, ids in labels.items()})


def as_complex(site: Site) -> Output:
    """Rule of ``view_as_complex`` and ``view_as_real``: the pair of numbers is a position."""
    labels = site.labels_of(site.node.args[0])
    if op_name(site.node.target) == "view_as_complex":
        last = len(site.shape_of(site.node.args[0])) - 1
        site.pin_label(labels, last, "is a part of a complex number")
    return labels


def diagonal(site: Site) -> Output:
    """Rule of ``diagonal``: its two dimensions become the last one."""
    value = site.node.args[0]
    labels, rank = site.labels_of(value), len(site.shape_of(value))
    dims = {site.literal(2, "dim1", 0) % rank, site.literal(3, "dim2", 1) % rank}
    for dim in dims:
        site.pin_label(labels, dim, "is a position on a diagonal")
    left = [dim for dim in range(rank) if dim not in dims]
    return {left.index(dim): ids for dim, ids in labels.items()}


def _dims(site: Site, position: int | None, default: int | tuple[int, ...] | None) -> set[int]:
    rank = len(site.shape_of(site.node.args[0]))
    names = [each.name for each in site.node.target._schema.arguments]  # type: ignore[union-attr]  # noqa: SLF001
    given: Any = default
    for name in ("dim", "dims"):
        if position is not None and name in names:  # overloads without it reduce everything
            given = site.literal(names.index(name), name, default)
    if given is None or given == []:
        return set(range(rank))
    return {dim % rank for dim in ([given] if isinstance(given, int) else given)}


def _each(site: Site, labels: Labels) -> Output:
    """Return ``labels`` for every result of the call."""
    value = site.shapes[site.node]
    return [dict(labels) for _ in value] if isinstance(value, (list, tuple)) else labels


RULES: dict[str, Rule] = {
    **dict.fromkeys(_ALONG, along),
    **dict.fromkeys(_REDUCED, reduced),
    **dict.fromkeys(["view_as_complex", "view_as_real"], as_complex),
    "diagonal": diagonal,
}
