"""Exponential moving average of a network's tensors (Polyak and Juditsky 1992).

The average follows faster early in training, as in TensorFlow and timm: the decay at step t is at
most (1 + t) / (10 + t).
"""

from collections.abc import Mapping

import torch
from torch import Tensor


class MovingAverage:
    """Moving averages of one network's tensors, by name."""

    def __init__(self, tensors: Mapping[str, Tensor], decay: float) -> None:
        self._decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    @torch.no_grad()
    def update(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Add the tensors of ``step`` to the averages; copy tensors that are not floating point."""
        decay = min(self._decay, (1 + step) / (10 + step))
        averages, current = [], []
        for name, average in self.tensors.items():
            if average.is_floating_point():
                averages.append(average)
                current.append(tensors[name].detach())
            else:
                average.copy_(tensors[name].detach())
        torch._foreach_lerp_(averages, current, 1 - decay)  # one kernel for all
