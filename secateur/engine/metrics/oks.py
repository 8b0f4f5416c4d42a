"""Object keypoint similarity: how well found keypoints lie on labelled ones, from 0 to 1.

A distance counts in units of the object's size and of how exactly people place that keypoint
(Ronchi and Perona 2017, arXiv:1707.05388; https://cocodataset.org/#keypoints-eval).
"""

import numpy as np

from secateur.engine.metrics.matching import Array, Matched, best, match

PADDING = -1  # state of rows after an image's last object
# A labelled object is (state, x0, y0, x1, y1, area, then x, y and visibility of each keypoint).
# State 1 marks objects that do not count.
_START = 6
_MOST_POSES = 20  # COCO's limit on the objects of an image
# Spreads of COCO's 17 keypoints of people, from nose to ankles.
_COCO_SIGMAS = (
    np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
)


def sigmas(num_points: int) -> Array:
    """Return the spread of each keypoint: COCO's for 17, otherwise one over their number."""
    if num_points == len(_COCO_SIGMAS):
        return _COCO_SIGMAS
    return np.full(num_points, 1 / num_points)


def labelled(rows_MR: Array) -> Array:
    """Return the keypoints of labelled objects, (M, K, 3)."""
    return rows_MR[:, _START:].reshape(len(rows_MR), (rows_MR.shape[1] - _START) // 3, 3)


def is_counted(rows_MR: Array) -> Array:
    """Return which labelled objects count: those that are no crowd and have a keypoint, (M,)."""
    is_seen_MK: Array = labelled(rows_MR)[:, :, 2] > 0
    found: Array = (rows_MR[:, 0] == 0) & is_seen_MK.any(1)
    return found


def similarities(points_NK2: Array, rows_MR: Array) -> Array:
    """Return the similarity of each found object with each labelled one, (N, M).

    An object without labelled keypoints is near anything inside its box, enlarged by its own size
    on every side.
    """
    points = points_NK2[:, None].astype(np.float64)
    rows = rows_MR.astype(np.float64)
    truth_MK3 = labelled(rows)
    distance_NMK2 = points - truth_MK3[:, :, :2]
    low_M12, high_M12 = rows[:, None, 1:3], rows[:, None, 3:5]
    side_M12 = high_M12 - low_M12
    outside_NMK2 = np.maximum(low_M12 - side_M12 - points, 0) + np.maximum(
        points - high_M12 - side_M12, 0
    )
    is_seen_MK: Array = truth_MK3[:, :, 2] > 0
    has_none_M1: Array = np.logical_not(is_seen_MK.any(1, keepdims=True))
    distance_NMK2 = np.where(has_none_M1[..., None], outside_NMK2, distance_NMK2)
    spread_MK = 2 * (2 * sigmas(truth_MK3.shape[1])) ** 2 * (rows[:, 5:6] + np.spacing(1))
    near_NMK = np.exp(-(distance_NMK2**2).sum(3) / spread_MK)
    weight_MK = (is_seen_MK | has_none_M1).astype(np.float64)
    found: Array = (near_NMK * weight_MK).sum(2) / np.maximum(weight_MK.sum(1), 1)
    return found


def match_poses(points_NK2: Array, scores_N: Array, rows_MR: Array) -> Matched:
    """Return COCO's matches of the found and the labelled objects of one image."""
    order = best(scores_N, _MOST_POSES)
    likeness = similarities(points_NK2[order], rows_MR)
    return match(likeness, scores_N[order], rows_MR[:, 0] == 1, ~is_counted(rows_MR))
