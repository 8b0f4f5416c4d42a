"""Comparison of an imported network with ONNX Runtime on random inputs.

Both compute in float32, and in deep networks their rounding alone can differ by more than the
tolerance. Then the network is computed in float64 as well: ONNX Runtime may be as far from that as
rounding has brought the imported network, times a small factor. If it is farther, each node is
computed on ONNX Runtime's own values of its inputs. If every node agrees, and the program returns
what the nodes return, the difference is rounding that later nodes have enlarged; a note says so.
"""

from typing import Any

import onnx
import torch
from onnx import ModelProto, TensorProto
from torch import Tensor

from secateur.engine.errors import ExportError, ModelRejectedError
from secateur.engine.export.session import OnnxSession
from secateur.engine.onnx_in.call import Node, Value, shown
from secateur.engine.onnx_in.file import OnnxFile
from secateur.engine.onnx_in.importer import REFUSALS, Importer
from secateur.engine.program.chunks import chunked, joined
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.surgery.certificate import outputs_in

TOLERANCE = 1e-5  # of an output's largest magnitude
_ROUNDING = 1e-3  # most that is put down to rounding
_TIMES = 10  # ONNX Runtime's rounding, in multiples of ours
BATCH_SIZES = (1, 2, 3)
_HALF = {torch.float16: 1e-2, torch.bfloat16: 8e-2}
# Operators that ONNX Runtime computes with an error that does not shrink with the result. Its
# sigmoid is 0.5 plus a quotient, so it is off by up to 2.8 units of 2**-24 wherever it is near 0.
_ABSOLUTE = {"Sigmoid": 2**-22}


@torch.no_grad()
def admit(
    program: Program, importer: Importer, file: OnnxFile, model: ModelProto
) -> tuple[str, ...]:
    """Compare a program with its ONNX file; return notes for the user.

    Raises:
        ModelRejectedError: ONNX Runtime cannot run the file, or returns something else; the message
            names the first node that differs.
    """
    session = _session(model)
    module = ProgramModule(program, copy=False).eval()
    enlarged: dict[str, float] = {}
    for size in BATCH_SIZES:
        inputs = program.example_inputs(size, seed=size)
        found = _tensors(_computed(module, inputs))
        expected = _expected(session, inputs)
        exact: list[Tensor] = []
        are_nodes_equal = False
        for name, index in zip(file.output_names, range(len(found)), strict=True):
            ours, theirs = found[index], expected[index]
            error = relative_error(ours, theirs)
            if error <= _tolerance(theirs):
                continue
            exact = exact or _tensors(outputs_in(program, inputs, torch.float64))
            if _is_rounding(ours, theirs, exact[index]):
                continue
            if not are_nodes_equal:
                reason = _difference(found, inputs, importer, file, model)
                if reason is not None:
                    raise ModelRejectedError(
                        f"output {name!r} of the imported network differs from ONNX Runtime's by "
                        f"{error:.2g} of its largest value, at most {_tolerance(theirs):.0e} is "
                        f"allowed{reason}{_because(file)}"
                    )
                are_nodes_equal = True
            enlarged[name] = max(error, enlarged.get(name, 0.0))
    return tuple(
        f"output {name!r} differs from ONNX Runtime's by {error:.1g} of its largest value on "
        "random inputs; each node agrees on equal inputs, so this is rounding"
        for name, error in enlarged.items()
    )


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
        halves = [t.name for t in model.graph.initializer if t.data_type == TensorProto.BFLOAT16]
        if halves and "bfloat16" in str(error):
            raise ModelRejectedError(
                f"the tensor {shown(halves[0])} of the ONNX file has the type bfloat16, and ONNX "
                "Runtime cannot compute a node of the file in that type",
                hint="Export the network in float32: call model.float() before torch.onnx.export.",
            ) from error
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


def _difference(
    found: list[Tensor],
    inputs: tuple[Tensor, ...],
    importer: Importer,
    file: OnnxFile,
    model: ModelProto,
) -> str | None:
    """Return what to say of the place where a program leaves its file; None if it nowhere does.

    Args:
        found: The program's outputs.
        inputs: Inputs that it was given.
        importer: The nodes that the program was recorded from.
        file: The file.
        model: The file as ONNX Runtime reads it.
    """
    size = file.batch_size or len(inputs[0])
    batches = chunked(inputs, size)
    parts = [[values[n] for n in file.output_names] for values in map(importer.run, batches)]
    for ours, nodes in zip(found, joined(parts, size, len(inputs[0])), strict=True):
        if not relative_error(ours, torch.as_tensor(nodes)) <= _tolerance(ours):
            return ""
    return _first_difference(importer, batches[0], model)


def _first_difference(
    importer: Importer, inputs: tuple[Tensor, ...], model: ModelProto
) -> str | None:
    """Return the first node that differs when given ONNX Runtime's values; None if none does."""
    names = [name for name, value in importer.run(inputs).items() if isinstance(value, Tensor)]
    made = {name for node in model.graph.node for name in node.output}
    names = [name for name in names if name in made]
    watched = ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, names))
    try:
        theirs = dict(zip(names, _session(watched)(inputs), strict=True))
    except (ModelRejectedError, ExportError, KeyError):
        return ""
    differing: list[Node] = []

    def compare(node: Node, values: dict[str, Value]) -> None:
        for name in node.outputs:
            value = values.get(name)
            if isinstance(value, Tensor):
                if not _agrees(node, value, theirs[name]):
                    differing.append(node)
                values[name] = theirs[name]

    importer.run(inputs, compare)
    return f". {differing[0].where} is the first that differs" if differing else None


def _agrees(node: Node, ours: Tensor, theirs: Tensor) -> bool:
    """Return whether a node computes what ONNX Runtime does, up to rounding."""
    if relative_error(ours, theirs) <= _tolerance(theirs):
        return True
    if ours.shape != theirs.shape or node.operator not in _ABSOLUTE:
        return False
    return float((ours.double() - theirs.double()).abs().max()) <= _ABSOLUTE[node.operator]
