"""What is trained between two cuts, and who makes the cuts: the loop's side of a schedule.

`secateur.engine.ramp` implements `Cuts`; the loop knows neither plans nor groups.
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
        program: What is trained: the compacted network, or the masked twin with ``masks``.
        masks: By tensor name, True = keep.
        note: What the caller wants to find again in a saved state, such as the plan so far.
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
        """Return the network of a saved note, with any weights."""
        ...
