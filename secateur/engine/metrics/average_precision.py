"""COCO's average precision, with weights on images so that intervals can resample them.

`matching` matches objects with labels, image by image; the sums over images are taken here.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from secateur.engine.metrics.matching import Array, Matcher, match_boxes

_RECALLS = np.linspace(0, 1, 101)
_EPSILON = float(np.spacing(1))


@dataclass
class _Class:
    """Objects found and labelled of one class."""

    scores: list[Array] = field(default_factory=list)
    images: list[int] = field(default_factory=list)  # of each array of scores
    matched: list[Array] = field(default_factory=list)  # (T, objects of the image)
    ignored: list[Array] = field(default_factory=list)
    labelled: list[tuple[int, int]] = field(default_factory=list)  # image, number of labels


class Matches:
    """Objects found in images, matched with the labelled ones.

    Those that match only objects that do not count, such as crowds, do not count either.
    """

    def __init__(self, matcher: Matcher = match_boxes) -> None:
        self._matcher = matcher
        self._classes: defaultdict[int, _Class] = defaultdict(_Class)
        self._num_images = 0
        self._sorted: dict[int, _Sorted] | None = None

    def add(self, found_N: Array, scores_N: Array, classes_N: Array, labels_MR: Array) -> None:
        """Add an image.

        Args:
            found_N: Objects found, as the matcher takes them.
            scores_N: Their scores.
            classes_N: Their classes.
            labels_MR: Labelled objects: the class, and the row that the matcher takes.
        """
        image, self._sorted = self._num_images, None
        self._num_images += 1
        for number in {*classes_N.tolist(), *labels_MR[:, 0].astype(int).tolist()}:
            is_found, is_labelled = classes_N == number, labels_MR[:, 0] == number
            found = self._matcher(found_N[is_found], scores_N[is_found], labels_MR[is_labelled, 1:])
            each = self._classes[int(number)]
            each.scores.append(found.scores)
            each.images.append(image)
            each.matched.append(found.is_matched)
            each.ignored.append(found.is_ignored)
            each.labelled.append((image, found.num_labelled))

    @property
    def num_images(self) -> int:
        """Number of images added."""
        return self._num_images

    @property
    def num_found(self) -> int:
        """Number of objects found in all images."""
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
    """One class of all images, best objects first."""

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
