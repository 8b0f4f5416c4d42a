"""Binary cross-entropy: the objective for ``binary`` and ``multi_label`` labels."""

import torch.nn.functional as F
from torch import Tensor

from secateur.engine.objectives.labels import fit_numbers
from secateur.engine.objectives.objective import Answers, Objective
from secateur.engine.objectives.options import ObjectiveOptions
from secateur.engine.objectives.outputs import Activation


def bce(
    output: Tensor, labels: Tensor | None, kind: Activation = "none", *, reduction: str = "mean"
) -> Tensor:
    """Return the binary cross-entropy of scores (N, K) against labels 0 and 1 (N, K).

    Raises:
        DataError: There are no labels, or their shape does not match.
    """
    wanted = fit_numbers(labels, output)
    if kind == "sigmoid":
        return F.binary_cross_entropy(output, wanted, reduction=reduction)
    return F.binary_cross_entropy_with_logits(output, wanted, reduction=reduction)


def _loss(answers: Answers, options: ObjectiveOptions) -> Tensor:
    del options
    return bce(answers.found[0], answers.labels, answers.activation)


BCE = Objective(
    "bce",
    "from the labels, several classes per sample",
    "binary cross-entropy",
    _loss,
)
