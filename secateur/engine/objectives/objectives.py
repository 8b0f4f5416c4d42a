"""What a network is trained for, as functions of outputs, labels and the teacher's outputs.

Shared by the training loop, the scores and the loss criterion, so that they mean the same loss.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.objectives.options import ObjectiveOptions
from secateur.engine.objectives.outputs import (
    Activation,
    activation,
    float_outputs,
    log_probabilities,
)
from secateur.engine.program.program import Program

_LOGITS_RANK = 2
_TINY = 1e-6


class Objective:
    """The loss of one network under given options."""

    def __init__(
        self, program: Program, options: ObjectiveOptions, scales: Sequence[float]
    ) -> None:
        """Prepare the loss of ``program``.

        Args:
            program: Whose outputs are judged.
            options: What for.
            scales: For each float output of the teacher its variance (`teacher.Teacher.scales`);
                empty where no teacher is needed.
        """
        self.options, self._scales = options, tuple(scales)
        self._activation = activation(program)

    def loss(
        self, outputs: list[object], labels: Tensor | None, taught: list[object] | None = None
    ) -> Tensor:
        """Return the mean loss of a batch, a scalar.

        Args:
            outputs: The network's flat outputs.
            labels: As `data.SampleSource.batch` returns them.
            taught: The teacher's flat outputs, where the objective needs them.

        Raises:
            DataError: Labels or outputs do not fit the objective.
        """
        kind, options = self.options.kind, self.options
        found = float_outputs(outputs)
        if not found:
            raise DataError("the network has no output of floating point to train")
        if kind == "mse":
            return mse(found[0], labels)
        if kind == "bce":
            return bce(found[0], labels, self._activation)
        if kind == "distill":
            return self._distance(found, float_outputs(taught or []))
        smoothing = options.label_smoothing
        by_labels = cross_entropy(found[0], labels, self._activation, label_smoothing=smoothing)
        if kind == "cross_entropy":
            return by_labels
        wanted = float_outputs(taught or [])
        by_teacher = soften(found[0], wanted[0], self._activation, options.temperature)
        if len(found) > 1:
            by_teacher = by_teacher + self._distance(found[1:], wanted[1:], first=1)
        weight = options.distill_weight
        return (1 - weight) * by_labels + weight * by_teacher

    def _distance(self, found: list[Tensor], wanted: list[Tensor], first: int = 0) -> Tensor:
        """Return the share of the teacher's variance that is missed, averaged over outputs."""
        scales = self._scales[first : first + len(found)]
        parts = [
            F.mse_loss(a, b) / scale for a, b, scale in zip(found, wanted, scales, strict=True)
        ]
        return torch.stack(parts).mean()


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
        DataError: There are no labels, or they are no classes of the output.
    """
    checked = check_labels(labels, output)
    if kind == "softmax":
        output = log_probabilities(output, kind)  # its log_softmax is itself
    elif kind == "sigmoid":  # the scores that each probability was made of
        output = torch.logit(output, _TINY)
    return F.cross_entropy(output, checked, label_smoothing=label_smoothing, reduction=reduction)


def soften(found: Tensor, wanted: Tensor, kind: Activation, temperature: float) -> Tensor:
    """Return the softened Kullback-Leibler divergence from teacher to student, (N, C) each.

    Hinton et al. 2015, arXiv:1503.02531; times the temperature squared, so that its gradient keeps
    its size whatever the temperature.
    """
    student = log_probabilities(found, kind, temperature)
    teacher = log_probabilities(wanted, kind, temperature)
    divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def mse(output: Tensor, labels: Tensor | None, *, reduction: str = "mean") -> Tensor:
    """Return the squared error of ``output`` against numbers of the same shape, or (N,) for (N, 1).

    Raises:
        DataError: There are no numbers, or they have another shape.
    """
    return F.mse_loss(output, fit_numbers(labels, output), reduction=reduction)


def bce(
    output: Tensor, labels: Tensor | None, kind: Activation = "none", *, reduction: str = "mean"
) -> Tensor:
    """Return the binary cross-entropy of scores (N, K) against 0 and 1 (N, K).

    Raises:
        DataError: There are no such labels.
    """
    wanted = fit_numbers(labels, output)
    if kind == "sigmoid":
        return F.binary_cross_entropy(output, wanted, reduction=reduction)
    return F.binary_cross_entropy_with_logits(output, wanted, reduction=reduction)


def fit_numbers(labels: Tensor | None, output: Tensor) -> Tensor:
    """Return labels in the shape of the output.

    Raises:
        DataError: There are none, or they have another shape.
    """
    if labels is None:
        raise DataError("this objective needs labels, and the data set has none")
    if labels.numel() != output.numel() or len(labels) != len(output):
        raise DataError(
            f"labels have shape {tuple(labels.shape)}, the network returns {tuple(output.shape)}"
        )
    return labels.to(output.dtype).view_as(output)


def check_labels(labels: Tensor | None, logits: Tensor) -> Tensor:
    """Return ``labels`` if they name classes of ``logits``.

    Raises:
        DataError: There are no labels, the output is not (N, classes), or a label is no class.
    """
    if labels is None:
        raise DataError("cross_entropy needs labels, and the data set has none")
    if logits.ndim != _LOGITS_RANK or not logits.is_floating_point():
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
