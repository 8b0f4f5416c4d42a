"""The record of an export format: its file, its writer, and its check."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from secateur.engine.program.program import Program

Compare = Callable[[Program, Path, Sequence[tuple[Tensor, ...]]], float]


@dataclass(frozen=True)
class ExportFormat:
    """One file format for pruned networks.

    Attributes:
        name: Name in configs.
        file: File name.
        media_type: Media type.
        words: Contents in reports and on the dashboard, starting in lower case.
        write: Writes a program to a path.
        holds_network: Whether the file holds the whole network, not only its weights.
        compare: Returns the largest absolute error of the file's outputs against the program's on
            batches of inputs; raises `ExportError` if they differ beyond the tolerance. None if
            the file stores the program itself.
    """

    name: str
    file: str
    media_type: str
    words: str
    write: Callable[[Program, Path], None]
    holds_network: bool = True
    compare: Compare | None = None
