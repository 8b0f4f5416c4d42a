"""The loop's view of an iterative schedule: the network between two cuts, and the cuts.

`secateur.engine.ramp` implements `Cuts`. The loop itself uses neither plans nor groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from secateur.engine.program.program import Program


@dataclass(frozen=True)
class Phase:
    """The network between two cuts.

    Attributes:
        program: The trained network: the compacted one, or the masked twin with ``masks``.
        masks: Boolean masks by tensor name, True = keep.
        note: Text that the caller finds again in a saved state, such as the current plan.
    """

    program: Program
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    note: str = ""


class Cuts(Protocol):
    """Prunes the network further while it trains."""

    def steps(self, num_steps: int) -> tuple[int, ...]:
        """Return the steps before which the network is cut, ascending."""
        ...

    def cut(
        self, phase: Phase, number: int, optimizer: Mapping[str, Tensor]
    ) -> tuple[Phase, dict[str, Tensor]]:
        """Return the network after cut ``number`` (from 0), and its optimiser's tensors."""
        ...

    def resume(self, note: str) -> Phase:
        """Return the phase of a saved note; the loop replaces its weights."""
        ...
