"""Copies of one row along a dimension, as ``expand`` and ``repeat`` with a literal size make them.

A mask of one channel is often expanded to all channels of the value that it multiplies. Such a
value may have any number of channels, so it gets the label of the value that it is combined with,
and its literal size shrinks. That must happen before its other readers are looked at.
"""

from torch import Tensor, fx

from secateur.engine.graph.propagate import COPIES, Site
from secateur.engine.program.functional import op_name

_COPYING = frozenset({"expand", "repeat"})


def are_copies(site: Site, value: fx.Node, dim: int) -> bool:
    """Return whether a value holds one row along ``dim``, and this call is its first reader."""
    chain = _chain(value)
    maker = chain[-1]
    readers = {user for node in chain for user in node.users}.difference(chain)
    if not readers.isdisjoint(site.labels):
        return False
    if op_name(maker.target) not in _COPYING or not isinstance(maker.args[0], fx.Node):
        return False
    shape, sizes = site.shape_of(maker.args[0]), maker.args[1]
    own = dim - (len(sizes) - len(shape))  # type: ignore[arg-type]
    is_one = own < 0 or shape[own] == 1
    return is_one and isinstance(sizes[dim], int)  # type: ignore[index]


def label_copies(site: Site, value: fx.Node, dim: int, ids: Tensor) -> None:
    """Give a value of copies the label of the value that it is combined with."""
    for node in _chain(value):
        site.labels[node] = {**site.labels_of(node), dim: ids}


def _chain(value: fx.Node) -> list[fx.Node]:
    """Return a value and those before it that it copies as they are."""
    found = [value]
    while op_name(found[-1].target) in COPIES | {"contiguous", "to", "_to_copy"}:
        source = found[-1].args[0]
        if not isinstance(source, fx.Node):
            break
        found.append(source)
    return found
