"""Metrics of detection: COCO's mAP50-95 and mAP50."""

import numpy as np
from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.intervals import Interval
from secateur.engine.metrics.average_precision import Matches, means
from secateur.engine.metrics.doubt import ByClass, Doubt
from secateur.engine.metrics.matching import Array
from secateur.engine.metrics.metric import Metric
from secateur.engine.metrics.reading import Reading
from secateur.engine.metrics.reference import AgainstReference
from secateur.engine.metrics.resampled import doubt_of_mean, ends, image_weights
from secateur.engine.metrics.scoring import Scoring
from secateur.engine.objectives.distill_sure import DISTILL_SURE
from secateur.engine.objectives.outputs import Activation

PADDING = -1  # class of rows after an image's last box


class _Boxes:
    def __init__(self, kind: Activation, reading: Reading) -> None:
        del kind
        if reading.find_boxes is None:
            raise DataError("boxes need a known form of the outputs: set 'head' in the config")
        self._find = reading.find_boxes
        self._own, self._before = Matches(), Matches()
        self._distance = AgainstReference(())
        self._has_reference = False

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Add a batch: float outputs, labels, and the reference's outputs if there is one."""
        if labels is None:
            raise DataError("mAP needs boxes, and the data set has none")
        rows = [row[row[:, 0] != PADDING] for row in labels.cpu().numpy()]
        self._match(self._own, outputs, rows)
        if wanted:
            self._has_reference = True
            self._match(self._before, wanted, rows)
            self._distance.add(outputs, None, wanted)

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        del num_samples
        mean, at_half = means(self._own.precisions())
        return {"map50_95": mean, "map50": at_half}

    def loss(self, num_samples: int) -> float:
        """Return the squared relative distance to the reference's outputs; 0 without one."""
        return self._distance.loss(num_samples) if self._has_reference else 0.0

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of mAP50-95, by resampling the images."""
        return doubt_of_mean(self._own, self._before, num_samples)

    def by_class(self, num_samples: int) -> tuple[ByClass, ...]:
        """Return the metrics of every labelled class, with intervals."""
        weights = image_weights(self._own, num_samples)
        drawn = [] if weights is None else [self._own.precisions(each) for each in weights]
        return tuple(
            ByClass(number, _of_class(value), _intervals([d[number] for d in drawn if number in d]))
            for number, value in self._own.precisions().items()
        )

    def _match(self, matches: Matches, outputs: list[Tensor], rows: list[Array]) -> None:
        arrays = [output.detach().cpu().numpy() for output in outputs]
        for boxes, labels_M6 in zip(self._find(arrays), rows, strict=True):
            matches.add(boxes.corners, boxes.scores, boxes.classes, labels_M6)


def _of_class(value_T: Array) -> dict[str, float]:
    return {"map50_95": float(value_T.mean()), "map50": float(value_T[0])}


def _intervals(drawn: list[Array]) -> dict[str, Interval]:
    if not drawn:
        return {}
    values = [_of_class(each) for each in drawn]
    return {name: ends(np.array([each[name] for each in values])) for name in values[0]}


MAP = Metric("map50_95", "mAP50-95")
MAP50 = Metric("map50", "mAP50")
BOXES = Scoring(
    "boxes",
    DISTILL_SURE,
    "boxes",
    "squared distance to the dense network's outputs",
    (MAP, MAP50),
    _Boxes,
    needs_reference=True,
)
