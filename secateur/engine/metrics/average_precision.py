"""COCO's average precision, with weights on images so that intervals can resample them.

pycocotools matches boxes with labels, image by image; the sums over images are taken here.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_MOST_BOXES = 100
_ANY_AREA = (0.0, 1e10)
_CROWD = 1
_EPSILON = float(np.spacing(1))


@dataclass
class _Class:
    """Boxes found and labelled of one class."""

    scores: list[Array] = field(default_factory=list)
    images: list[int] = field(default_factory=list)  # of each array of scores
    matched: list[Array] = field(default_factory=list)  # (T, boxes of the image)
    ignored: list[Array] = field(default_factory=list)
    labelled: list[tuple[int, int]] = field(default_factory=list)  # image, number of labels


class Matches:
    """Boxes of images matched with their labels.

    Labels are rows (class, x0, y0, x1, y1, is_crowd). Boxes that match only a crowd do not count.
    2 in place of 1 marks one object that does not count, as VOC's "difficult" does.
    """

    def __init__(self) -> None:
        self._classes: defaultdict[int, _Class] = defaultdict(_Class)
        self._num_images = 0
        self._sorted: dict[int, _Sorted] | None = None

    def add(self, corners_N4: Array, scores_N: Array, classes_N: Array, labels_M6: Array) -> None:
        """Add an image: boxes found, and the labelled ones."""
        image, self._sorted = self._num_images, None
        self._num_images += 1
        for number in {*classes_N.tolist(), *labels_M6[:, 0].astype(int).tolist()}:
            is_found, is_labelled = classes_N == number, labels_M6[:, 0] == number
            found = _match(corners_N4[is_found], scores_N[is_found], labels_M6[is_labelled, 1:])
            each = self._classes[int(number)]
            each.scores.append(np.array(found["dtScores"], np.float64))
            each.images.append(image)
            each.matched.append(found["dtMatches"] > 0)
            each.ignored.append(found["dtIgnore"] > 0)
            each.labelled.append((image, int((found["gtIgnore"] == 0).sum())))

    @property
    def num_images(self) -> int:
        """Number of images added."""
        return self._num_images

    @property
    def num_boxes(self) -> int:
        """Number of boxes found in all images."""
        return sum(len(part) for each in self._classes.values() for part in each.scores)

    def precisions(self, weights_I: Array | None = None) -> dict[int, Array]:
        """Return the average precision of every labelled class at each threshold, (T,).

        Args:
            weights_I: How often each image counts, (I,); None: once.
        """
        if self._sorted is None:
            self._sorted = {n: _sort(each) for n, each in sorted(self._classes.items())}
        weights = np.ones(self._num_images) if weights_I is None else weights_I
        found = {n: each.precision(weights) for n, each in self._sorted.items()}
        return {n: value for n, value in found.items() if value is not None}


def means(precisions: dict[int, Array]) -> tuple[float, float]:
    """Return mAP50-95 and mAP50 over the classes; 0 without any."""
    if not precisions:
        return 0.0, 0.0
    values_KT = np.stack(list(precisions.values()))
    return float(values_KT.mean()), float(values_KT[:, 0].mean())


@dataclass(frozen=True)
class _Sorted:
    """One class of all images, best boxes first."""

    images: Array  # (D,)
    matched: Array  # (T, D)
    missed: Array  # (T, D)
    labelled: Array  # (images with labels, 2): image, number

    def precision(self, weights_I: Array) -> Array | None:
        num_labels = float((weights_I[self.labelled[:, 0]] * self.labelled[:, 1]).sum())
        if num_labels == 0:
            return None
        weights_D = weights_I[self.images]
        right_TD = np.cumsum(self.matched * weights_D, axis=1)
        wrong_TD = np.cumsum(self.missed * weights_D, axis=1)
        precision_TD = right_TD / (right_TD + wrong_TD + _EPSILON)
        best_TD = np.maximum.accumulate(precision_TD[:, ::-1], axis=1)[:, ::-1]
        recall_TD = right_TD / num_labels
        found = np.zeros(len(recall_TD))
        for number, (recall, best) in enumerate(zip(recall_TD, best_TD, strict=True)):
            places = np.searchsorted(recall, _RECALLS, side="left")
            reached = places[places < len(best)]
            found[number] = best[reached].sum() / len(_RECALLS)
        return found


def _sort(each: _Class) -> _Sorted:
    counts = [len(part) for part in each.scores]
    scores = np.concatenate(each.scores)
    order = np.argsort(-scores, kind="stable")
    images = np.repeat(np.array(each.images, np.int64), counts)[order]
    matched = np.concatenate(each.matched, axis=1)[:, order]
    ignored = np.concatenate(each.ignored, axis=1)[:, order]
    labelled = np.array(each.labelled, np.int64).reshape(-1, 2)
    return _Sorted(images, matched & ~ignored, ~matched & ~ignored, labelled)


def _match(corners_N4: Array, scores_N: Array, labels_M5: Array) -> dict[str, Any]:
    """Return pycocotools' matches of one class in one image."""
    evaluator = _evaluator()
    labelled = [
        {
            "id": number + 1,
            "bbox": _xywh(row[:4]),
            "area": 1.0,
            "iscrowd": int(row[4] == _CROWD),  # its overlap is a share of the found box
            "ignore": int(row[4] != 0),
        }
        for number, row in enumerate(labels_M5.astype(np.float64))
    ]
    evaluator._gts = {(0, 0): labelled}  # noqa: SLF001  # its public way indexes the whole data set
    evaluator._dts = {  # noqa: SLF001  # likewise
        (0, 0): [
            {"id": number + 1, "bbox": _xywh(row), "area": 1.0, "score": float(score)}
            for number, (row, score) in enumerate(
                zip(corners_N4.astype(np.float64), scores_N, strict=True)
            )
        ]
    }
    evaluator.ious = {(0, 0): evaluator.computeIoU(0, 0)}
    for each in labelled:  # any number of boxes may match an object that does not count
        each["iscrowd"] = each["ignore"]
    found: dict[str, Any] = evaluator.evaluateImg(0, 0, _ANY_AREA, _MOST_BOXES)
    return {
        "dtScores": found["dtScores"],
        "dtMatches": np.asarray(found["dtMatches"]).reshape(len(THRESHOLDS), -1),
        "dtIgnore": np.asarray(found["dtIgnore"]).reshape(len(THRESHOLDS), -1),
        "gtIgnore": np.asarray(found["gtIgnore"]),
    }


def _xywh(corners: Array) -> list[float]:
    x0, y0, x1, y1 = corners.tolist()
    return [x0, y0, x1 - x0, y1 - y0]


@cache
def _evaluator() -> Any:  # noqa: ANN401  # pycocotools has no types
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415  # only detectors need it

    return COCOeval(iouType="bbox")
