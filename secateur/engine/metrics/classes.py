"""Metrics of classification with one class per sample: accuracy, top-5 accuracy and macro-F1."""

import torch
from torch import Tensor

from secateur.engine.metrics.doubt import Doubt, Hits, macro_f1
from secateur.engine.metrics.metric import MACRO_F1, TOP1, Metric
from secateur.engine.metrics.reading import Reading
from secateur.engine.metrics.scoring import LossSum, Scoring
from secateur.engine.objectives.cross_entropy import cross_entropy
from secateur.engine.objectives.distill import MIXED
from secateur.engine.objectives.labels import check_labels
from secateur.engine.objectives.outputs import Activation

_TOP = 5


class _Classes(LossSum):
    def __init__(self, kind: Activation, reading: Reading) -> None:
        super().__init__()
        del reading
        self._kind = kind
        self._hits, self._near_hits = Hits(), torch.zeros((), dtype=torch.int64)
        self._counts_3C = torch.zeros(3, 1)  # true positives, predicted, labelled

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Add a batch: float outputs, labels, and the reference's outputs if there is one."""
        output, checked = outputs[0], check_labels(labels, outputs[0])
        loss = cross_entropy(output, checked, self._kind, reduction="sum")
        self.loss_sum = self.loss_sum + loss.double()
        num_classes = output.shape[1]
        if self._counts_3C.shape[1] != num_classes:
            self._counts_3C = torch.zeros(3, num_classes)
        best = output.argmax(1)
        self._hits.add(best == checked, wanted[0].argmax(1) == checked if wanted else None)
        if num_classes > _TOP:
            top = output.topk(_TOP, dim=1).indices
            self._near_hits = self._near_hits + (top == checked[:, None]).sum()
        ones_N = torch.ones_like(best, dtype=torch.float32)
        counted = ((best, (best == checked).float()), (best, ones_N), (checked, ones_N))
        # Whole numbers: their sums are exact in any order.
        counts_C = (ones_N.new_zeros(num_classes).index_add(0, at, how) for at, how in counted)
        self._counts_3C = self._counts_3C.to(output.device) + torch.stack(list(counts_C))

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        total = max(1, num_samples)
        found = {"top1": self._hits.num_hits / total, "macro_f1": macro_f1(self._counts_3C)}
        if self._counts_3C.shape[1] > _TOP:
            found["top5"] = int(self._near_hits) / total
        return found

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of the primary metric."""
        return self._hits.doubt(num_samples)


TOP5 = Metric("top5", "top-5 accuracy")
CLASSES = Scoring(
    "classes", MIXED, "one class per sample", "cross-entropy", (TOP1, TOP5, MACRO_F1), _Classes
)
