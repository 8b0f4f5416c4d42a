"""The record of an export format: its file, what writes it, and what proves it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from secateur.engine.program.program import Program

Compare = Callable[[Program, Path, Sequence[tuple[Tensor, ...]]], float]


@dataclass(frozen=True)
class ExportFormat:
    """One kind of file that a pruned network is written to.

    Attributes:
        name: What configs call it.
        file: The name of the file.
        media_type: Its media type.
        write: Writes a program to a path.
        holds_network: Whether the file holds the whole network, and not its weights alone.
        compare: Returns the largest absolute error of the file's outputs against the program's, on
            batches of inputs, and raises `ExportError` where they differ; None where the file
            holds what the program is made of.
    """

    name: str
    file: str
    media_type: str
    write: Callable[[Program, Path], None]
    holds_network: bool = True
    compare: Compare | None = None
