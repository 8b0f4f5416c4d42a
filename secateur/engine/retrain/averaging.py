"""An exponential moving average of a network's tensors (Polyak and Juditsky 1992).

Early in training the average follows faster, as in TensorFlow's and timm's: the decay of step t is
at most (1 + t) / (10 + t).
"""

from collections.abc import Mapping

import torch
from torch import Tensor


class MovingAverage:
    """Averages of the tensors of one network, by name."""

    def __init__(self, tensors: Mapping[str, Tensor], decay: float) -> None:
        self._decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    @torch.no_grad()
    def update(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take in the tensors after ``step`` steps; those that are no floats are copied."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, average in self.tensors.items():
            current = tensors[name].detach()
            if average.is_floating_point():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(current)
