"""Found objects of one image matched with the labelled ones, by pycocotools."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
_MOST_BOXES = 100
_ANY_AREA = (0.0, 1e10)
_CROWD = 1


class Matched(NamedTuple):
    """Objects of one class in one image, best first.

    Attributes:
        scores: Scores of the found objects, (N,).
        is_matched: Whether each is on a labelled one, at each threshold, (T, N).
        is_ignored: Whether it does not count, because what it is on does not, (T, N).
        num_labelled: Number of labelled objects that count.
    """

    scores: Array
    is_matched: Array
    is_ignored: Array
    num_labelled: int


Matcher = Callable[[Array, Array, Array], Matched]
"""Function of found objects (N, ...), their scores (N,), and rows of labelled objects (M, R)."""


def match_boxes(corners_N4: Array, scores_N: Array, labels_M5: Array) -> Matched:
    """Return the matches of boxes: x0, y0, x1, y1, and of labelled ones also is_crowd.

    2 in place of 1 marks one object that does not count, as VOC's "difficult" does.
    """
    from pycocotools.mask import iou  # noqa: PLC0415  # only detectors need it

    order = best(scores_N, _MOST_BOXES)
    is_crowd = labels_M5[:, 4] == _CROWD  # its overlap is a share of the found box
    found_NM = np.zeros((len(order), len(labels_M5)))
    if found_NM.size:
        sides = [_xywh(each.astype(np.float64)) for each in (corners_N4[order], labels_M5)]
        found_NM = np.asarray(iou(*sides, is_crowd.astype(np.uint8)))
    is_ignored = labels_M5[:, 4] != 0
    # Any number of boxes may match an object that does not count.
    return match(found_NM, scores_N[order], is_ignored, is_ignored)


def best(scores_N: Array, most: int) -> Array:
    """Return the indices of the objects with the best scores."""
    found: Array = np.argsort(-scores_N, kind="stable")[:most]
    return found


def match(likeness_NM: Array, scores_N: Array, is_crowd_M: Array, is_ignored_M: Array) -> Matched:
    """Return COCO's matches of found objects, best first, with labelled ones.

    Args:
        likeness_NM: Overlap or similarity of each found object with each labelled one.
        scores_N: Scores of the found objects.
        is_crowd_M: Whether many found objects may match a labelled one.
        is_ignored_M: Whether a labelled object does not count.
    """
    evaluator = _evaluator()
    evaluator._gts = {  # noqa: SLF001  # its public way builds an index of the whole data set
        (0, 0): [
            {"id": n + 1, "area": 1.0, "iscrowd": int(crowd), "ignore": int(ignored)}
            for n, (crowd, ignored) in enumerate(zip(is_crowd_M, is_ignored_M, strict=True))
        ]
    }
    evaluator._dts = {  # noqa: SLF001  # likewise
        (0, 0): [{"id": n + 1, "area": 1.0, "score": float(s)} for n, s in enumerate(scores_N)]
    }
    evaluator.ious = {(0, 0): likeness_NM if likeness_NM.size else []}
    found = evaluator.evaluateImg(0, 0, _ANY_AREA, len(scores_N))
    shape = (len(THRESHOLDS), -1)
    return Matched(
        np.array(found["dtScores"], np.float64),
        np.asarray(found["dtMatches"]).reshape(shape) > 0,
        np.asarray(found["dtIgnore"]).reshape(shape) > 0,
        int((np.asarray(found["gtIgnore"]) == 0).sum()),
    )


def _xywh(corners_N: Array) -> Array:
    x0, y0, x1, y1 = corners_N.T[:4]
    return np.stack([x0, y0, x1 - x0, y1 - y0], 1)


@cache
def _evaluator() -> Any:  # noqa: ANN401  # pycocotools has no types
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415  # only detectors need it

    return COCOeval(iouType="bbox")
