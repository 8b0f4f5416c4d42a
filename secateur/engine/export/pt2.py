"""``pruned.pt2``: the program as a torch exported program."""

from secateur.engine.export.format import ExportFormat
from secateur.engine.program.writer import write_program

PT2 = ExportFormat(
    "pt2",
    "pruned.pt2",
    "application/zip",
    "the pruned network for torch.export.load, without its Python class",
    write_program,
)
