"""Kinds of labels, and checks that labels fit an output."""

from torch import Tensor

from secateur.engine.errors import DataError

LabelKind = str  # a name in `metrics.SCORINGS`

_LOGITS_RANK = 2


def fit_numbers(labels: Tensor | None, output: Tensor) -> Tensor:
    """Return ``labels`` in the shape and type of ``output``.

    Raises:
        DataError: There are no labels, or their number of values differs from the output's.
    """
    if labels is None:
        raise DataError("this objective needs labels, and the data set has none")
    if labels.numel() != output.numel() or len(labels) != len(output):
        raise DataError(
            f"labels have shape {tuple(labels.shape)}, the network returns {tuple(output.shape)}"
        )
    return labels.to(output.dtype).view_as(output)


def check_labels(labels: Tensor | None, logits: Tensor) -> Tensor:
    """Return ``labels`` (N,) as int64 if all are classes of ``logits`` (N, classes).

    The range of labels on an accelerator is not checked, because the host would wait for it in
    every step. It must be checked before they are moved there.

    Raises:
        DataError: There are no labels, the output is not (N, classes), or a label is out of range.
    """
    if labels is None:
        raise DataError("cross_entropy needs labels, and the data set has none")
    if logits.ndim != _LOGITS_RANK or not logits.is_floating_point():
        shape = tuple(logits.shape)
        raise DataError(f"cross_entropy needs an output of shape (batch, classes), not {shape}")
    if labels.shape != logits.shape[:1] or labels.is_floating_point():
        shape = tuple(labels.shape)
        raise DataError(f"labels must be one integer for each sample, not {labels.dtype} {shape}")
    if labels.device.type != "cpu":
        return labels.long()
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        wrong = low if low < 0 else high
        raise DataError(f"label {wrong} is outside the network's {logits.shape[1]} classes")
    return labels.long()
