"""Masks that hold removed elements at exactly zero in training (claims 6 and 7 of CN113361702A).

Removed weights start at zero, and their gradients are zeroed before every step. Neither momentum
(an average of zeros) nor weight decay (a multiple of zero) then moves them. Running statistics are
not parameters, so they are zeroed again after every step.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from secateur.engine.errors import PlanError
from secateur.engine.program.module import ProgramModule


class Masks:
    """The masks of one training run, bound to its module."""

    def __init__(self, module: ProgramModule, masks: Mapping[str, Tensor]) -> None:
        """Zero what ``masks`` (True = keep) removes from the tensors of ``module``.

        Raises:
            PlanError: A mask does not match a tensor of the module in name and shape.
        """
        self._parameters: list[tuple[nn.Parameter, Tensor]] = []
        self._statistics: list[tuple[Tensor, Tensor]] = []
        known = dict(module.state_dict(keep_vars=True))
        with torch.no_grad():
            for name, keep in masks.items():
                tensor = known.get(name)
                if tensor is None or tensor.shape != keep.shape:
                    raise PlanError(f"the mask of {name} does not fit the program")
                removed = torch.empty_like(tensor, dtype=torch.bool).copy_(~keep)
                tensor.masked_fill_(removed, 0)
                if isinstance(tensor, nn.Parameter):
                    self._parameters.append((tensor, removed))
                else:
                    self._statistics.append((tensor, removed))

    def hold_gradients(self) -> None:
        """Zero the gradients of removed weights; call between backward and step."""
        for parameter, removed in self._parameters:
            if parameter.grad is not None:
                parameter.grad.masked_fill_(removed, 0)

    def hold_statistics(self) -> None:
        """Zero the running statistics of removed channels; call after every step."""
        for statistic, removed in self._statistics:
            statistic.masked_fill_(removed, 0)
