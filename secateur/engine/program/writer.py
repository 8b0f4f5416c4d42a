"""Write a program as ``.pt2`` by exporting it again, so that torch writes its own format."""

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
from secateur.engine.program.shapes import ANALYSIS_BATCH, num_analysed

_ANY = inspect.Parameter.POSITIONAL_OR_KEYWORD


def export_program(program: Program) -> ExportedProgram:
    """Return a new ``ExportedProgram`` with a dynamic batch on every input's first dimension.

    A batch that stays fixed is fixed there, too. The program takes flat inputs, in the types that
    it computes with.
    """
    if program.batch_size is not None:
        return export_fixed(program)
    inputs = program.example_inputs(ANALYSIS_BATCH)
    batch = Dim("batch", min=1)
    dynamic = (tuple({0: batch} for _ in inputs),)  # forward takes *inputs: one tuple
    return _export(_without_methods(ProgramModule(program, copy=False).eval()), inputs, {}, dynamic)


def export_fixed(program: Program) -> ExportedProgram:
    """Return a new ``ExportedProgram`` for batches of one sample, with flat inputs and outputs.

    A batch that stays fixed keeps its size.
    """
    return _export(flat_module(program), program.example_inputs(program.batch_size or 1), {}, None)


def flat_module(program: Program) -> nn.Module:
    """Return a module with flat inputs and a flat tuple of outputs, without those that are None."""
    module = ProgramModule(program, copy=False).eval()

    def forward(*inputs: Tensor) -> tuple[Any, ...]:
        return tuple(value for value in module.run_once(inputs) if value is not None)

    bare = _without_methods(module)
    bare.forward = forward
    return bare


def with_user_signature(program: Program) -> nn.Module:
    """Return a module with the call signature of the user's model, including nesting."""
    module = ProgramModule(program, copy=False).eval()
    flat = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # the user's own
        return flat(*pytree.tree_leaves((args, kwargs)))

    # torch.export takes the names of the inputs from the signature.
    parameters = [inspect.Parameter(name, _ANY) for name in program.call.names]
    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    bare = _without_methods(module)
    bare.forward = forward
    return bare


def _without_methods(module: ProgramModule) -> nn.Module:
    """Return a module with the same tensors, but without the methods of `ProgramModule`.

    The exporter looks tensors up as attributes, so a tensor named ``start`` or ``outputs`` would
    resolve to a method.
    """
    bare = nn.Module().eval()
    bare._modules = module._modules  # noqa: SLF001
    bare._parameters = module._parameters  # noqa: SLF001
    bare._buffers = module._buffers  # noqa: SLF001
    bare.forward = module.forward
    return bare


def write_program(program: Program, path: Path) -> None:
    """Write ``program`` to ``path``; `reader.read_program` and ``torch.export.load`` read it.

    The file has the call signature of the user's model, and its types of inputs, weights and
    outputs.
    """
    own = to_own_types(program)
    inputs = own.example_inputs(num_analysed(own))
    args, kwargs = pytree.tree_unflatten(inputs, own.call.tree)
    batch = Dim("batch", min=1)
    dynamic = dict(zip(own.call.names, (*args, *kwargs.values()), strict=True))
    sizes = {0: batch} if own.batch_size is None else {}
    dynamic = pytree.tree_map_only(Tensor, lambda _: sizes, dynamic)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(_export(with_user_signature(own), args, kwargs, dynamic), buffer)
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
