"""Scores along an axis of classes, in outputs with other axes too: pixels, steps of a text."""

import torch.nn.functional as F
from torch import Tensor

_CLOSE = 1e-3
_TINY = 1e-6


def channel_log_probabilities(output: Tensor, dim: int) -> Tensor:
    """Return the logarithms of the probabilities along ``dim``.

    Values that are shares of one are probabilities; all others are logits, or logarithms already,
    which `log_softmax` leaves unchanged. The graph does not always show a softmax: interpolation
    may follow it.
    """
    shares = output.detach()
    if bool((shares >= 0).all()) and bool(((shares.sum(dim) - 1).abs() < _CLOSE).all()):
        return output.clamp_min(_TINY).log()
    return F.log_softmax(output, dim)
