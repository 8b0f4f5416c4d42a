"""Metrics of regression: mean absolute error."""

import torch
from torch import Tensor

from secateur.engine.metrics.doubt import Doubt, Errors
from secateur.engine.metrics.metric import Metric
from secateur.engine.metrics.reading import Reading
from secateur.engine.metrics.scoring import LossSum, Scoring
from secateur.engine.objectives.labels import fit_numbers
from secateur.engine.objectives.mse import MSE, mse
from secateur.engine.objectives.outputs import Activation


class _Numbers(LossSum):
    def __init__(self, kind: Activation, reading: Reading) -> None:
        super().__init__()
        del kind, reading
        self._error = torch.zeros((), dtype=torch.float64)
        self._errors = Errors()

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Add a batch: float outputs, labels, and the reference's outputs if there is one."""
        output, truth = outputs[0], fit_numbers(labels, outputs[0])
        size = output[0].numel()
        self.loss_sum = self.loss_sum + mse(output, truth, reduction="sum").double() / size
        self._error = self._error + (output - truth).abs().sum().double() / size
        before = (wanted[0] - truth).abs().flatten(1).mean(1) if wanted else None
        self._errors.add((output - truth).abs().flatten(1).mean(1), before)

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        return {"mean_error": float(self._error) / max(1, num_samples)}

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of the primary metric."""
        return self._errors.doubt(num_samples)


MEAN_ERROR = Metric("mean_error", "mean absolute error", is_share=False, is_less_better=True)
NUMBERS = Scoring("numbers", MSE, "numbers", "squared error", (MEAN_ERROR,), _Numbers)
