"""Squared error: the objective for numeric labels."""

import torch.nn.functional as F
from torch import Tensor

from secateur.engine.objectives.labels import fit_numbers
from secateur.engine.objectives.objective import Answers, Objective
from secateur.engine.objectives.options import ObjectiveOptions


def mse(output: Tensor, labels: Tensor | None, *, reduction: str = "mean") -> Tensor:
    """Return the squared error of ``output`` against labels of the same shape, or (N,) for (N, 1).

    Raises:
        DataError: There are no labels, or their shape does not match.
    """
    return F.mse_loss(output, fit_numbers(labels, output), reduction=reduction)


def _loss(answers: Answers, options: ObjectiveOptions) -> Tensor:
    del options
    return mse(answers.found[0], answers.labels)


MSE = Objective(
    "mse",
    "from the numbers in the labels",
    "squared error",
    _loss,
)
