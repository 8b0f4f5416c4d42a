"""Connectionist temporal classification of texts (Graves et al. 2006)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.objectives.channels import channel_log_probabilities
from secateur.engine.objectives.objective import Answers, Objective
from secateur.engine.objectives.options import ObjectiveOptions

PADDING = -1  # label after the end of a text
_RANK = 3


def ctc_loss(
    output: Tensor, labels: Tensor | None, *, class_axis: int = 2, is_blank_first: bool = True
) -> Tensor:
    """Return the mean CTC loss per character of a batch, a scalar.

    Args:
        output: Scores (N, T, C), or (N, C, T) if ``class_axis`` is 1.
        labels: Characters (N, L), counted without the blank; -1 after the end.
        class_axis: Axis of the classes.
        is_blank_first: Whether the blank is the first class, otherwise the last.

    Raises:
        DataError: There are no labels, or they do not fit the output.
    """
    if labels is None:
        raise DataError("ctc needs texts, and the data set has none")
    if output.ndim != _RANK:
        raise DataError(
            f"ctc needs an output of shape (batch, steps, classes), not {tuple(output.shape)}"
        )
    scores_NTC = output if class_axis == 2 else output.transpose(1, 2)  # noqa: PLR2004
    num_classes = scores_NTC.shape[2]
    labels = labels.long()
    if int(labels.max()) >= num_classes - 1:
        raise DataError(
            f"a text has character {int(labels.max())}, the network scores {num_classes - 1} "
            "characters and the blank"
        )
    logs_TNC = channel_log_probabilities(scores_NTC, 2).transpose(0, 1)
    lengths = (labels != PADDING).sum(1)
    targets = labels.clamp_min(0) + (1 if is_blank_first else 0)
    steps = torch.full((len(labels),), logs_TNC.shape[0], dtype=torch.long)
    # A text that is longer than the steps has an infinite loss; it teaches nothing.
    return F.ctc_loss(
        logs_TNC.float(),
        targets,
        steps,
        lengths.cpu(),
        blank=0 if is_blank_first else num_classes - 1,
        zero_infinity=True,
    )


def _loss(answers: Answers, options: ObjectiveOptions) -> Tensor:
    return ctc_loss(
        answers.found[0],
        answers.labels,
        class_axis=options.class_axis,
        is_blank_first=options.is_blank_first,
    )


CTC = Objective("ctc", "from the texts", "CTC loss", _loss)
