"""Write a program as ``.pt2`` by exporting it again: torch writes its own format, not we."""

import io
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from worker.engine.program.module import ProgramModule
from worker.engine.program.program import Program

# Export refuses to call a dimension dynamic when the example has size 1.
_EXAMPLE_BATCH_SIZE = 2


def export_program(program: Program) -> ExportedProgram:
    """Return a fresh ``ExportedProgram`` with a dynamic batch on every input's first dimension."""
    module = _bare(ProgramModule(program, copy=False).eval())
    inputs = program.example_inputs(_EXAMPLE_BATCH_SIZE)
    batch = Dim("batch", min=1)
    dynamic = (tuple({0: batch} for _ in inputs),)  # forward takes *inputs: one tuple
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        return torch.export.export(module, inputs, dynamic_shapes=dynamic)


def _bare(module: ProgramModule) -> nn.Module:
    """Return a module with the same tensors and no names of its own beside them.

    The exporter looks tensors up as attributes: a user's ``start`` or ``outputs`` must not be found
    to be a method of ours.
    """
    bare = nn.Module().eval()
    bare._modules = module._modules  # noqa: SLF001
    bare._parameters = module._parameters  # noqa: SLF001
    bare._buffers = module._buffers  # noqa: SLF001
    bare.forward = module.forward
    return bare


def write_program(program: Program, path: Path) -> None:
    """Write ``program`` to ``path``; `reader.read_program` and ``torch.export.load`` read it."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(export_program(program), buffer)
    path.write_bytes(buffer.getvalue())
