"""Metrics of binary classification with one output: accuracy and macro-F1."""

import torch
from torch import Tensor

from secateur.engine.metrics.doubt import Doubt, Hits, macro_f1
from secateur.engine.metrics.metric import MACRO_F1, TOP1
from secateur.engine.metrics.reading import Reading
from secateur.engine.metrics.scoring import LossSum, Scoring
from secateur.engine.objectives.bce import BCE, bce
from secateur.engine.objectives.labels import fit_numbers
from secateur.engine.objectives.outputs import Activation, threshold


class _Binary(LossSum):
    def __init__(self, kind: Activation, reading: Reading) -> None:
        super().__init__()
        del reading
        self._kind = kind
        self._hits = Hits()
        self._counts_3C = torch.zeros(3, 2)

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Add a batch: float outputs, labels, and the reference's outputs if there is one."""
        output, truth = outputs[0], fit_numbers(labels, outputs[0])
        self.loss_sum = self.loss_sum + bce(output, truth, self._kind, reduction="sum").double()
        predicted = output.flatten() > threshold(self._kind)
        is_true = truth.flatten() > 0.5  # noqa: PLR2004
        before = wanted[0].flatten() > threshold(self._kind) if wanted else None
        self._hits.add(predicted == is_true, None if before is None else before == is_true)
        counts_C3 = [
            torch.stack([(a & b).sum(), a.sum(), b.sum()])
            for a, b in ((~predicted, ~is_true), (predicted, is_true))
        ]
        self._counts_3C = self._counts_3C.to(output.device) + torch.stack(counts_C3, 1)

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        return {
            "top1": self._hits.num_hits / max(1, num_samples),
            "macro_f1": macro_f1(self._counts_3C),
        }

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of the primary metric."""
        return self._hits.doubt(num_samples)


BINARY = Scoring(
    "binary",
    BCE,
    "two classes with one score",
    "binary cross-entropy",
    (TOP1, MACRO_F1),
    _Binary,
)
