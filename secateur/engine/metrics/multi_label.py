"""Metrics of classification with several classes per sample: macro-F1."""

import torch
from torch import Tensor

from secateur.engine.metrics.doubt import Counts, Doubt, macro_f1
from secateur.engine.metrics.metric import MACRO_F1
from secateur.engine.metrics.reading import Reading
from secateur.engine.metrics.scoring import LossSum, Scoring
from secateur.engine.objectives.bce import BCE, bce
from secateur.engine.objectives.labels import fit_numbers
from secateur.engine.objectives.outputs import Activation, threshold


class _MultiLabel(LossSum):
    def __init__(self, kind: Activation, reading: Reading) -> None:
        super().__init__()
        del reading
        self._kind = kind
        self._counts_3C: Tensor | None = None
        self._by_sample = Counts(macro_f1)

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Add a batch: float outputs, labels, and the reference's outputs if there is one."""
        output, truth = outputs[0], fit_numbers(labels, outputs[0])
        loss = bce(output, truth, self._kind, reduction="sum")
        self.loss_sum = self.loss_sum + loss.double() / output[0].numel()
        counts_N3C = self._count(output, truth)
        self._by_sample.add(counts_N3C, self._count(wanted[0], truth) if wanted else None)
        counts = counts_N3C.sum(0).float()
        self._counts_3C = counts if self._counts_3C is None else self._counts_3C + counts

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        del num_samples
        counts = self._counts_3C if self._counts_3C is not None else torch.zeros(3, 1)
        return {"macro_f1": macro_f1(counts)}

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of the primary metric."""
        return self._by_sample.doubt(num_samples)

    def _count(self, output: Tensor, truth: Tensor) -> Tensor:
        predicted = output > threshold(self._kind)
        is_true = truth > 0.5  # noqa: PLR2004
        return torch.stack([predicted & is_true, predicted, is_true], 1)


MULTI_LABEL = Scoring(
    "multi_label",
    BCE,
    "several classes per sample",
    "binary cross-entropy",
    (MACRO_F1,),
    _MultiLabel,
)
