"""Options and result of a repair."""

from collections.abc import Callable
from dataclasses import dataclass, field

from secateur.engine.program.program import Program


@dataclass(frozen=True)
class RepairOptions:
    """How the kept weights are solved for.

    Attributes:
        ridge: Weight of the distance to the kept weights, relative to the mean square of a
            reader's inputs. Larger values change the weights less.
        memory_bytes: Bytes of activations that the walk may hold; more samples than fit are left
            out.
        seed: Seed of the choice of positions in images.
        on_progress: Called with (done, total) calls of the network.
    """

    ridge: float = 1e-3
    memory_bytes: int = 2 * 2**30
    seed: int = 0
    on_progress: Callable[[int, int], None] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Refit:
    """One weight that was solved for.

    Attributes:
        weight: Name of the tensor.
        num_columns: Unknowns per output channel.
        num_rows: Equations: samples times positions.
        before: Error of the kept weights, relative to the variance of the dense outputs.
        after: Error of the solved weights.
    """

    weight: str
    num_columns: int
    num_rows: int
    before: float
    after: float


@dataclass(frozen=True)
class Repaired:
    """Result of `repair_program`.

    Attributes:
        program: The smaller program with solved weights, biases and statistics.
        refits: The solved weights, in the order of the network.
        num_samples: Samples used.
    """

    program: Program
    refits: tuple[Refit, ...]
    num_samples: int
