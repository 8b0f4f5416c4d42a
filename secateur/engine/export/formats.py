"""The list of export formats. To add one: a file that defines its record, and a line here."""

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
    """Write a program in several formats, and compare what each file computes.

    Args:
        program: What is written.
        folder: Where to.
        names: Names in `EXPORT_FORMATS`.
        batches: Inputs that files are compared on.

    Returns:
        The largest absolute error of each format that is compared.

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
