"""Write a program as ``.pt2`` by exporting it again: torch writes its own format, not we."""

import inspect
import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils import _pytree as pytree

from secateur.engine.program.module import ProgramModule
from secateur.engine.program.precision import to_own_types
from secateur.engine.program.program import Program

# Export refuses to call a dimension dynamic when the example has size 1.
_EXAMPLE_BATCH_SIZE = 2
_ANY = inspect.Parameter.POSITIONAL_OR_KEYWORD


def export_program(program: Program) -> ExportedProgram:
    """Return a fresh ``ExportedProgram`` with a dynamic batch on every input's first dimension.

    It takes flat inputs, in the types that are computed with.
    """
    inputs = program.example_inputs(_EXAMPLE_BATCH_SIZE)
    batch = Dim("batch", min=1)
    dynamic = (tuple({0: batch} for _ in inputs),)  # forward takes *inputs: one tuple
    return _export(_bare(ProgramModule(program, copy=False).eval()), inputs, {}, dynamic)


def called_as_given(program: Program) -> nn.Module:
    """Return a module that is called as the user's model was: the same arguments, nested alike."""
    module = ProgramModule(program, copy=False).eval()
    flat = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # the user's own
        return flat(*pytree.tree_leaves((args, kwargs)))

    # torch.export names the inputs by it.
    parameters = [inspect.Parameter(name, _ANY) for name in program.call.names]
    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    bare = _bare(module)
    bare.forward = forward
    return bare


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
    """Write ``program`` to ``path``; `reader.read_program` and ``torch.export.load`` read it.

    It is called as the user's model was, and takes, holds and gives the same types.
    """
    own = to_own_types(program)
    inputs = own.example_inputs(_EXAMPLE_BATCH_SIZE)
    args, kwargs = pytree.tree_unflatten(inputs, own.call.tree)
    batch = Dim("batch", min=1)
    dynamic = dict(zip(own.call.names, (*args, *kwargs.values()), strict=True))
    dynamic = pytree.tree_map_only(Tensor, lambda _: {0: batch}, dynamic)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(_export(called_as_given(own), args, kwargs, dynamic), buffer)
    path.write_bytes(buffer.getvalue())


def _export(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic: Any,  # noqa: ANN401
) -> ExportedProgram:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        return torch.export.export(module.eval(), args, kwargs, dynamic_shapes=dynamic)
