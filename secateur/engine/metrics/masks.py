"""Metrics of segmentation: intersection over union and Dice, averaged over the classes."""

import torch
from torch import Tensor

from secateur.engine.metrics.doubt import ByClass, Counts, Doubt, macro_f1
from secateur.engine.metrics.metric import Metric
from secateur.engine.metrics.reading import Reading
from secateur.engine.metrics.scoring import LossSum, Scoring
from secateur.engine.objectives.dice import DICE, IGNORED, dice_loss, fit_masks
from secateur.engine.objectives.outputs import Activation, threshold


class _Masks(LossSum):
    def __init__(self, kind: Activation, reading: Reading) -> None:
        super().__init__()
        del reading
        self._kind = kind
        self._by_sample = Counts(mean_iou, dtype=torch.int32)

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Add a batch: float outputs, labels, and the reference's outputs if there is one."""
        output, truth = fit_masks(outputs[0], labels)
        self.loss_sum += float(dice_loss(output, truth, self._kind)) * len(truth)
        before = None
        if wanted:
            before = self._count(fit_masks(wanted[0], truth)[0], truth)
        self._by_sample.add(self._count(output, truth), before)

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        del num_samples
        counts = self._by_sample.total()
        if counts is None:
            return {"miou": 0.0, "dice": 0.0}
        return {"miou": mean_iou(counts), "dice": macro_f1(counts)}

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of the primary metric."""
        return self._by_sample.doubt(num_samples)

    def by_class(self, num_samples: int) -> tuple[ByClass, ...]:
        """Return the metrics of every class that occurs, with intervals."""
        return self._by_sample.by_class(num_samples, {"miou": class_ious, "dice": class_dices})

    def _count(self, scores: Tensor, truth: Tensor) -> Tensor:
        """Return pixels (N, 3, C): found and labelled, found, labelled."""
        num_classes = max(2, scores.shape[1])
        if scores.shape[1] == 1:
            found = (scores[:, 0] > threshold(self._kind)).long()
        else:
            found = scores.argmax(1)
        return torch.stack(
            [
                _histograms(found, truth, (found == truth) & (truth != IGNORED), num_classes),
                _histograms(found, truth, truth != IGNORED, num_classes),
                _histograms(truth, truth, truth != IGNORED, num_classes),
            ],
            1,
        )


def _histograms(values: Tensor, truth: Tensor, is_counted: Tensor, num_classes: int) -> Tensor:
    """Return how often each class occurs among the counted pixels of each image, (N, C)."""
    num = len(truth)
    images = torch.arange(num, device=truth.device).view(-1, 1, 1).expand_as(truth)
    places = (images * num_classes + values)[is_counted]
    return places.bincount(minlength=num * num_classes).view(num, num_classes).to(torch.int32)


def class_ious(counts_3C: Tensor) -> Tensor:
    """Return intersection over union of every class, (C,); NaN for classes that do not occur."""
    shared, found, labelled = counts_3C.double()
    values: Tensor = shared / (found + labelled - shared)
    return values


def class_dices(counts_3C: Tensor) -> Tensor:
    """Return Dice of every class, (C,); NaN for classes that do not occur."""
    shared, found, labelled = counts_3C.double()
    values: Tensor = 2 * shared / (found + labelled)
    return values


def mean_iou(counts_3C: Tensor) -> float:
    """Return intersection over union averaged over the classes that occur."""
    values = class_ious(counts_3C)
    occurs = values.isfinite()
    return float(values[occurs].mean()) if bool(occurs.any()) else 0.0


MIOU = Metric("miou", "mean intersection over union")
DICE_METRIC = Metric("dice", "Dice")
MASKS = Scoring("masks", DICE, "masks", "cross-entropy and Dice loss", (MIOU, DICE_METRIC), _Masks)
