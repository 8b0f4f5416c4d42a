"""Boxes of one image, and non-maximum suppression."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MOST_CANDIDATES = 1000  # the best ones go into the suppression, whose cost is quadratic
MOST_BOXES = 100  # COCO's limit on the boxes of an image
# Far above the size of any image: moves the boxes of different classes apart.
_APART = 1e6


class Boxes(NamedTuple):
    """Boxes of one image, best first.

    Attributes:
        corners: (N, 4) x0, y0, x1, y1 in pixels.
        scores: (N,) scores in [0, 1].
        classes: (N,) numbers of the classes.
    """

    corners: Array
    scores: Array
    classes: Array

    def chosen(self, index: Array) -> "Boxes":
        """Return the boxes at ``index``."""
        return Boxes(self.corners[index], self.scores[index], self.classes[index])


def best(boxes: Boxes, least_score: float, most_overlap: float) -> Boxes:
    """Return the boxes that survive non-maximum suppression within each class, best first."""
    return boxes.chosen(best_index(boxes, least_score, most_overlap))


def best_index(boxes: Boxes, least_score: float, most_overlap: float) -> Array:
    """Return the indices of the boxes that `best` returns.

    Boxes that are not finite or have no area are left out.
    """
    corners = boxes.corners
    is_box = np.isfinite(corners).all(1) & (corners[:, 2:] > corners[:, :2]).all(1)
    with np.errstate(invalid="ignore"):
        is_chosen = is_box & (boxes.scores >= least_score)
    order = np.flatnonzero(is_chosen)
    order = order[np.argsort(-boxes.scores[order], kind="stable")][:MOST_CANDIDATES]
    found = boxes.chosen(order)
    clipped = np.clip(found.corners.astype(np.float64), -_APART / 4, _APART / 4)
    kept: Array = order[_suppressed(clipped + found.classes[:, None] * _APART, most_overlap)]
    return kept


def _suppressed(corners_N4: Array, most_overlap: float) -> Array:
    """Return the indices that greedy suppression keeps; the boxes are sorted by score."""
    kept: list[int] = []
    left = np.arange(len(corners_N4))
    while len(left) > 0 and len(kept) < MOST_BOXES:
        first, left = left[0], left[1:]
        kept.append(int(first))
        left = left[overlaps(corners_N4[first], corners_N4[left]) <= most_overlap]
    return np.array(kept, np.int64)


def overlaps(corners_4: Array, corners_N4: Array) -> Array:
    """Return the intersection over union of one box with each of the others, (N,)."""
    size_N2 = np.minimum(corners_4[2:], corners_N4[:, 2:]) - np.maximum(
        corners_4[:2], corners_N4[:, :2]
    )
    shared = size_N2.clip(0).prod(1)
    area = (corners_4[2:] - corners_4[:2]).prod()
    areas = (corners_N4[:, 2:] - corners_N4[:, :2]).prod(1)
    found: Array = shared / np.maximum(area + areas - shared, 1e-12)
    return found
