"""Cross-entropy of class scores: the objective for one class per sample."""

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.engine.objectives.labels import check_labels
from secateur.engine.objectives.objective import Answers, Objective
from secateur.engine.objectives.options import ObjectiveOptions
from secateur.engine.objectives.outputs import Activation, log_probabilities

_TINY = 1e-6


def cross_entropy(
    output: Tensor,
    labels: Tensor | None,
    kind: Activation = "none",
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Return the cross-entropy of class scores (N, classes) against ``labels`` (N,).

    Raises:
        DataError: There are no labels, or a label is not a class of the output.
    """
    checked = check_labels(labels, output)
    if kind == "softmax":
        output = log_probabilities(output, kind)  # log_softmax leaves log-probabilities unchanged
    elif kind == "sigmoid":  # undo the sigmoid
        output = torch.logit(output, _TINY)
    return F.cross_entropy(output, checked, label_smoothing=label_smoothing, reduction=reduction)


def loss_by_labels(answers: Answers, options: ObjectiveOptions) -> Tensor:
    """Return the label-smoothed cross-entropy of a batch's first output.

    Raises:
        DataError: There are no labels, or a label is not a class of that output.
    """
    return cross_entropy(
        answers.found[0],
        answers.labels,
        answers.activation,
        label_smoothing=options.label_smoothing,
    )


CROSS_ENTROPY = Objective(
    "cross_entropy", "from the labels", "cross-entropy", loss_by_labels, labels=("classes",)
)
