"""Connected areas of a map, as the boxes around them."""

from typing import NamedTuple

import numpy as np

from app.contracts.decoding.boxes import Array


class Areas(NamedTuple):
    """Areas of one map, from top to bottom.

    Attributes:
        corners: (N, 4) x0, y0, x1, y1 in cells.
        means: (N,) mean value of each area's cells.
    """

    corners: Array
    means: Array


def find_areas(values_HW: Array, is_in_HW: Array) -> Areas:
    """Return the areas of the cells that are in, which are connected by sides or corners.

    Cells are joined to runs in their rows, and runs to areas. The time does not depend on the
    areas' shapes, because every step is one of whole arrays.
    """
    width = is_in_HW.shape[1]
    padded = np.pad(is_in_HW.astype(np.int8), ((0, 0), (1, 1)))
    step = np.diff(padded, axis=1)  # W + 1 a row
    rows, starts = np.nonzero(step == 1)
    _, ends = np.nonzero(step == -1)
    if len(rows) == 0:
        return Areas(np.zeros((0, 4)), np.zeros(0))
    names = _joined(rows * (width + 2) + starts, rows * (width + 2) + ends, width + 2)
    _, areas = np.unique(names, return_inverse=True)
    num = int(areas.max()) + 1
    corners = np.empty((num, 4))
    corners[:, :2], corners[:, 2:] = np.inf, -np.inf
    for column, ends_of in enumerate((starts, rows)):
        np.minimum.at(corners[:, column], areas, ends_of)
    for column, ends_of in enumerate((ends, rows + 1), 2):
        np.maximum.at(corners[:, column], areas, ends_of)
    sums = np.pad(
        np.cumsum(np.where(is_in_HW, values_HW, 0).astype(np.float64), axis=1), ((0, 0), (1, 0))
    )
    totals = np.bincount(areas, sums[rows, ends] - sums[rows, starts], num)
    return Areas(corners, totals / np.bincount(areas, ends - starts, num))


def _joined(starts_R: Array, ends_R: Array, stride: int) -> Array:
    """Return a name for each run, equal for runs of one area.

    Runs are given by places in the flattened map, whose rows are ``stride`` apart.
    """
    first = np.searchsorted(ends_R, starts_R + stride, "left")
    last = np.searchsorted(starts_R, ends_R + stride, "right")
    counts = np.maximum(last - first, 0)
    above = np.repeat(np.arange(len(starts_R)), counts)
    below = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[above]
    names = np.arange(len(starts_R))
    while True:
        least = np.minimum(names[above], names[below])
        np.minimum.at(names, names[above], least)
        np.minimum.at(names, names[below], least)
        while (names[names] != names).any():
            names = names[names]
        if (names[above] == names[below]).all():
            return names
