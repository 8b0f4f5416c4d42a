"""Write a program's ONNX file at a requested opset."""

import tempfile
from pathlib import Path

import onnx

from secateur.engine.export.onnx import OPSET, export_onnx
from secateur.engine.export.opsets import lower_opset, own_opset
from secateur.engine.program.program import Program


def write_at_opset(program: Program, opset: int, own: Path, path: Path) -> None:
    """Write a program as ONNX at an opset.

    Args:
        program: The program.
        opset: The opset, from 11 to the newest that torch's exporter converts to.
        own: The program's ONNX file at its own opset.
        path: Destination.

    Raises:
        ExportError: The opset cannot express the program.
    """
    model = onnx.load(own)
    if opset >= OPSET and own_opset(model) != opset:
        export_onnx(program, path, opset)
        return
    if own_opset(model) > OPSET > opset:  # the exporter knows more ways to an older operator
        with tempfile.TemporaryDirectory() as folder:
            export_onnx(program, Path(folder) / "model.onnx", OPSET)
            model = onnx.load(Path(folder) / "model.onnx")
    path.write_bytes(lower_opset(model, opset).SerializeToString(deterministic=True))
