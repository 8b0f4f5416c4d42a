"""Losses of a run's steps, read one step late.

Reading a value from an accelerator makes the host wait for every operator before it. The loss of
the step before is ready by the time that the next step has been handed over.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from secateur.engine.errors import DivergenceError


@dataclass
class Losses:
    """Sum of the losses that have been read, and the newest one, which has not.

    Attributes:
        total: Sum of the losses of this epoch that have been read.
    """

    total: float = 0.0
    _newest: tuple[Tensor, int, float] | None = None

    def add(self, loss: Tensor, number: int, learning_rate: float) -> None:
        """Add the loss of step ``number`` (from 0), and read the one before.

        Raises:
            DivergenceError: The loss before is not finite.
        """
        self.settle()
        self._newest = loss, number, learning_rate

    def settle(self) -> None:
        """Read the newest loss.

        Raises:
            DivergenceError: It is not finite.
        """
        newest, self._newest = self._newest, None
        if newest is not None:
            loss, number, learning_rate = newest
            self.total += check_finite(float(loss), number, learning_rate)


def check_finite(loss: float, number: int, learning_rate: float) -> float:
    """Return the loss of step ``number`` (from 0).

    Raises:
        DivergenceError: It is not finite.
    """
    if not math.isfinite(loss):
        raise DivergenceError(
            f"the loss became {loss} in step {number + 1}, at a learning rate of "
            f"{learning_rate:.3g}"
        )
    return loss
