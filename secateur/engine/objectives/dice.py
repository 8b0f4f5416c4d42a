"""Cross-entropy and Dice loss of masks (Milletari et al. 2016, "V-Net", arXiv:1606.04797)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.objectives.channels import channel_log_probabilities
from secateur.engine.objectives.objective import Answers, Objective
from secateur.engine.objectives.options import ObjectiveOptions
from secateur.engine.objectives.outputs import Activation

IGNORED = 255  # label of pixels that do not count
_RANK = 4
_TINY = 1e-6


def fit_masks(output: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return scores (N, C, H, W) in the labels' size, and labels (N, H, W) as int64.

    Raises:
        DataError: There are no labels, the output is not (N, C, H, W), or a label has no channel.
    """
    if labels is None:
        raise DataError("dice needs masks, and the data set has none")
    if output.ndim != _RANK:
        shape = tuple(output.shape)
        raise DataError(
            f"masks need an output of shape (batch, classes, height, width), not {shape}"
        )
    checked = labels.long()
    used = checked[checked != IGNORED]
    num_classes = max(2, output.shape[1])  # one channel tells two classes apart
    if used.numel() and int(used.max()) >= num_classes:
        raise DataError(
            f"a mask has class {int(used.max())}, the network scores {num_classes} classes, 0 to "
            f"{num_classes - 1}; {IGNORED} marks pixels that do not count"
        )
    if output.shape[2:] != labels.shape[1:]:
        output = F.interpolate(output, labels.shape[1:], mode="bilinear", align_corners=False)
    return output, checked


def dice_loss(output: Tensor, labels: Tensor | None, kind: Activation = "none") -> Tensor:
    """Return the mean of cross-entropy and Dice loss of scores (N, C, H, W), a scalar.

    Args:
        output: Scores; one channel is the second of two classes.
        labels: Classes of pixels (N, H, W); 255 does not count.
        kind: The activation that ends the output.

    Raises:
        DataError: The labels do not fit.
    """
    output, labels = fit_masks(output, labels)
    if output.shape[1] == 1:
        output = _two_classes(output, kind)
    logs = channel_log_probabilities(output, 1)
    is_counted = labels != IGNORED
    if not bool(is_counted.any()):
        return output.sum() * 0.0
    cross = F.nll_loss(logs, labels, ignore_index=IGNORED)
    truth = F.one_hot(torch.where(is_counted, labels, 0), output.shape[1]).permute(0, 3, 1, 2)
    counted = is_counted[:, None]
    found, truth = logs.exp() * counted, truth * counted
    shared = (found * truth).sum((0, 2, 3))
    total = found.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    occurs = truth.sum((0, 2, 3)) > 0
    dice = (2 * shared + _TINY) / (total + _TINY)
    return 0.5 * (cross + 1 - dice[occurs].mean())


def _two_classes(output: Tensor, kind: Activation) -> Tensor:
    """Return the log-probabilities of both classes, (N, 2, H, W), from one channel."""
    if kind == "sigmoid":
        output = torch.logit(output, _TINY)
    return torch.cat([F.logsigmoid(-output), F.logsigmoid(output)], 1)


def _loss(answers: Answers, options: ObjectiveOptions) -> Tensor:
    del options
    return dice_loss(answers.found[0], answers.labels, answers.activation)


DICE = Objective(
    "dice",
    "from the masks",
    "cross-entropy and Dice loss",
    _loss,
)
