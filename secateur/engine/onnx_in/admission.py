"""Comparison of an imported network with ONNX Runtime on random inputs.

Both compute in float32, and in deep networks their rounding alone can differ by more than the
tolerance. Then the network is computed in float64 as well: ONNX Runtime may be as far from that as
rounding has brought the imported network, times a small factor.
"""

from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto
from torch import Tensor

from secateur.engine.errors import ExportError, ModelRejectedError
from secateur.engine.export.session import OnnxSession
from secateur.engine.onnx_in.call import Node, Value
from secateur.engine.onnx_in.file import OnnxFile
from secateur.engine.onnx_in.importer import REFUSALS, Importer
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.surgery.certificate import outputs_in

TOLERANCE = 1e-5  # of an output's largest magnitude
_ROUNDING = 1e-3  # most that is put down to rounding
_TIMES = 10  # ONNX Runtime's rounding, in multiples of ours
BATCH_SIZES = (1, 2, 3)
_HALF = {torch.float16: 1e-2, torch.bfloat16: 8e-2}


@torch.no_grad()
def admit(program: Program, importer: Importer, file: OnnxFile, model: ModelProto) -> float:
    """Return the largest relative error of a program against its ONNX file.

    Raises:
        ModelRejectedError: ONNX Runtime cannot run the file, or returns something else; the message
            names the first node that differs.
    """
    session = _session(model)
    module = ProgramModule(program, copy=False).eval()
    worst = 0.0
    for size in BATCH_SIZES:
        inputs = program.example_inputs(size, seed=size)
        found = _tensors(_computed(module, inputs))
        expected = _expected(session, inputs)
        exact: list[Tensor] = []
        for index, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            error = relative_error(ours, theirs)
            if not error <= _tolerance(theirs):
                exact = exact or _tensors(outputs_in(program, inputs, torch.float64))
                if not _is_rounding(ours, theirs, exact[index]):
                    raise ModelRejectedError(
                        f"output {file.output_names[index]!r} of the imported network differs from "
                        f"ONNX Runtime's by {error:.2g} of its largest value, at most "
                        f"{_tolerance(theirs):.0e} is allowed"
                        f"{_first_difference(program, importer, model)}{_because(file)}"
                    )
            worst = max(worst, error)
    return worst


def _because(file: OnnxFile) -> str:
    """Return a likely reason for a difference."""
    if file.batch_size is None:
        return ""
    return f". The file takes {file.batch_size} at a time; its samples may depend on each other"


def _computed(module: ProgramModule, inputs: tuple[Tensor, ...]) -> list[Any]:
    try:
        return module.run(inputs)
    except REFUSALS as error:
        if "allocate" in str(error):  # out of memory, which is not the file's fault alone
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ModelRejectedError(f"the ONNX file cannot be computed: {reason}") from error


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference as a share of the largest value; infinite for other shapes."""
    if ours.shape != theirs.shape:
        return float("inf")
    if not ours.numel():
        return 0.0
    a, b = ours.double(), theirs.double()
    same = (a == b) | (a.isnan() & b.isnan())
    error = float(torch.where(same, 0.0, (a - b).abs()).max())
    finite = b[b.isfinite()]
    return (
        error / max(float(finite.abs().max()) if finite.numel() else 0.0, 1e-30) if error else 0.0
    )


def _tensors(outputs: list[Any]) -> list[Tensor]:
    return [each for each in outputs if isinstance(each, Tensor)]


def _is_rounding(ours: Tensor, theirs: Tensor, exact: Tensor) -> bool:
    """Return whether rounding explains how far ONNX Runtime is from the exact outputs."""
    error = relative_error(theirs, exact)
    return error <= min(_ROUNDING, max(TOLERANCE, _TIMES * relative_error(ours, exact)))


def _tolerance(output: Tensor) -> float:
    return _HALF.get(output.dtype, TOLERANCE)


def _session(model: ModelProto) -> OnnxSession:
    try:
        return OnnxSession(model.SerializeToString())
    except ExportError as error:
        raise ModelRejectedError(f"{error}".replace("exported", "ONNX")) from error


def _expected(session: OnnxSession, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return ONNX Runtime's outputs, for as many samples at a time as the file takes.

    The last batch is filled with the first samples. If the program takes any number of samples,
    what they are must not matter to the others.
    """
    try:
        return session(inputs)
    except ExportError as error:
        raise ModelRejectedError(f"{error}".replace("exported", "ONNX")) from error


def _first_difference(program: Program, importer: Importer, model: ModelProto) -> str:
    """Return the first node whose result differs, for one sample."""
    inputs = program.example_inputs(1, seed=1)
    names: list[tuple[Node, str]] = []
    ours: dict[str, Tensor] = {}

    def note(node: Node, values: dict[str, Value]) -> None:
        for name in node.outputs:
            value = values.get(name)
            if isinstance(value, Tensor):
                names.append((node, name))
                ours[name] = value

    importer.run(inputs, note)
    watched = ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for _, n in names)
    try:
        theirs = _session(watched)(inputs)
    except (ModelRejectedError, ExportError, KeyError):
        return ""
    for (node, name), value in zip(names, theirs, strict=True):
        if not relative_error(ours[name], value) <= _tolerance(value) or not np.isfinite(
            float(value.double().sum())
        ):
            return f". {node.where} is the first that differs"
    return ""
