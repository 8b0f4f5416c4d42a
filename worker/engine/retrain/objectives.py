"""What a network is trained for and scored by, as functions of its first output and the labels.

Shared by the training loop, the scores and the loss criterion, so that they mean the same loss.
"""

import torch.nn.functional as F
from torch import Tensor

from worker.engine.errors import DataError


def cross_entropy(
    logits: Tensor,
    labels: Tensor | None,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Return the cross-entropy of ``logits`` (N, classes) against ``labels`` (N,).

    Raises:
        DataError: There are no labels, or they are no classes of the output.
    """
    checked = check_labels(labels, logits)
    return F.cross_entropy(logits, checked, label_smoothing=label_smoothing, reduction=reduction)


def check_labels(labels: Tensor | None, logits: Tensor) -> Tensor:
    """Return ``labels`` if they name classes of ``logits``.

    Raises:
        DataError: There are no labels, the output is not (N, classes), or a label is no class.
    """
    if labels is None:
        raise DataError("cross_entropy needs labels, and the data set has none")
    if logits.ndim != 2 or not logits.is_floating_point():  # noqa: PLR2004  # samples by classes
        shape = tuple(logits.shape)
        raise DataError(f"cross_entropy needs an output of shape (batch, classes), not {shape}")
    if labels.shape != logits.shape[:1] or labels.is_floating_point():
        shape = tuple(labels.shape)
        raise DataError(f"labels must be one integer for each sample, not {labels.dtype} {shape}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        wrong = low if low < 0 else high
        raise DataError(f"label {wrong} is outside the network's {logits.shape[1]} classes")
    return labels.long()
