"""The list of export formats. To add one, define its record in a new file and add a line here."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from secateur.engine.export.format import ExportFormat
from secateur.engine.export.onnx import ONNX
from secateur.engine.export.pt2 import PT2
from secateur.engine.export.weights import SAFETENSORS
from secateur.engine.program.program import Program

_ALL = (ONNX, PT2, SAFETENSORS)

EXPORT_FORMATS: Mapping[str, ExportFormat] = MappingProxyType({each.name: each for each in _ALL})


def write_files(
    program: Program,
    folder: Path,
    names: Collection[str],
    batches: Sequence[tuple[Tensor, ...]],
) -> dict[str, float]:
    """Write a program in several formats and compare each file's outputs with the program's.

    Args:
        program: The program to write.
        folder: Destination folder.
        names: Names in `EXPORT_FORMATS`.
        batches: Inputs for the comparison.

    Returns:
        The largest absolute error of each compared format, by name.

    Raises:
        ExportError: A file does not compute what the program computes.
    """
    errors = {}
    for each in _ALL:
        if each.name in names:
            each.write(program, folder / each.file)
            if each.compare is not None:
                errors[each.name] = each.compare(program, folder / each.file, batches)
    return errors
