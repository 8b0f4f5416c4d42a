"""Metrics of keypoints: COCO's average precision by similarity, and the share found (PCK)."""

import numpy as np
import torch
from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.metrics.average_precision import Matches, means
from secateur.engine.metrics.doubt import ByClass, Counts, Doubt
from secateur.engine.metrics.matching import Array
from secateur.engine.metrics.metric import Metric
from secateur.engine.metrics.oks import PADDING, is_counted, labelled, match_poses, similarities
from secateur.engine.metrics.reading import FoundPose, Reading
from secateur.engine.metrics.reference import AgainstReference
from secateur.engine.metrics.resampled import doubt_of_mean
from secateur.engine.metrics.scoring import Scoring
from secateur.engine.objectives.distill_sure import DISTILL_SURE
from secateur.engine.objectives.outputs import Activation

_NEAR = 0.1  # of the longer side of an object's box (Yang and Ramanan 2013)


class _Keypoints:
    def __init__(self, kind: Activation, reading: Reading) -> None:
        del kind
        if reading.find_poses is None:
            raise DataError("keypoints need a known form of the outputs: set 'head' in the config")
        self._find = reading.find_poses
        self._own, self._before = Matches(match_poses), Matches(match_poses)
        self._points = Counts(_share, dtype=torch.int32)
        self._distance = AgainstReference(())
        self._has_reference = False

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Add a batch: float outputs, labels, and the reference's outputs if there is one."""
        if labels is None:
            raise DataError("OKS needs keypoints, and the data set has none")
        rows = [row[row[:, 0] != PADDING] for row in labels.cpu().numpy()]
        self._points.add(_match(self._own, self._found(outputs), rows), None)
        if wanted:
            self._has_reference = True
            _match(self._before, self._found(wanted), rows)
            self._distance.add(outputs, None, wanted)

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        del num_samples
        mean, at_half = means(self._own.precisions())
        total = self._points.total()
        return {
            "oks_ap": mean,
            "oks_ap50": at_half,
            "pck": 0.0 if total is None else _share(total),
        }

    def loss(self, num_samples: int) -> float:
        """Return the squared relative distance to the reference's outputs; 0 without one."""
        return self._distance.loss(num_samples) if self._has_reference else 0.0

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of the average precision, by resampling the images."""
        return doubt_of_mean(self._own, self._before, num_samples)

    def by_class(self, num_samples: int) -> tuple[ByClass, ...]:
        """Return PCK of every labelled keypoint, with intervals."""
        return self._points.by_class(num_samples, {"pck": _shares})

    def _found(self, outputs: list[Tensor]) -> list[FoundPose]:
        return list(self._find([output.detach().cpu().numpy() for output in outputs]))


def _match(matches: Matches, found: list[FoundPose], rows: list[Array]) -> Tensor:
    """Add images, and return keypoints (N, 3, K): found near, labelled, and labelled again."""
    counts = []
    for each, rows_MR in zip(found, rows, strict=True):
        points_NK2 = each.points[:, :, :2]
        only = np.zeros(len(points_NK2), np.int64)
        labels = np.concatenate([np.zeros((len(rows_MR), 1)), rows_MR], 1)
        matches.add(points_NK2, each.scores, only, labels)
        counts.append(_count(points_NK2, rows_MR[is_counted(rows_MR)]))
    return torch.from_numpy(np.stack(counts))


def _count(points_NK2: Array, rows_MR: Array) -> Array:
    """Return the counts (3, K) of one image; the most similar found object is an object's own."""
    truth_MK3 = labelled(rows_MR)
    is_seen = truth_MK3[:, :, 2] > 0
    is_near = np.zeros_like(is_seen)
    if len(points_NK2) and len(rows_MR):
        own_MK2 = points_NK2[similarities(points_NK2, rows_MR).argmax(0)]
        distance_MK = np.linalg.norm(own_MK2 - truth_MK3[:, :, :2], axis=2)
        side_M1 = (rows_MR[:, 3:5] - rows_MR[:, 1:3]).max(1, keepdims=True)
        is_near = is_seen & (distance_MK <= _NEAR * side_M1)
    found: Array = np.stack([each.sum(0) for each in (is_near, is_seen, is_seen)])
    return found


def _share(counts_3K: Tensor) -> float:
    near, seen, _ = counts_3K.double().sum(1).tolist()
    return float(near / seen) if seen else 0.0


def _shares(counts_3K: Tensor) -> Tensor:
    near, seen, _ = counts_3K.double()
    values: Tensor = near / seen
    return values


OKS_AP = Metric("oks_ap", "average precision of keypoints (OKS)")
OKS_AP50 = Metric("oks_ap50", "average precision of keypoints at OKS 0.5")
PCK = Metric("pck", "keypoints found (PCK)")
KEYPOINTS = Scoring(
    "keypoints",
    DISTILL_SURE,
    "keypoints",
    "squared distance to the dense network's outputs",
    (OKS_AP, OKS_AP50, PCK),
    _Keypoints,
    needs_reference=True,
)
