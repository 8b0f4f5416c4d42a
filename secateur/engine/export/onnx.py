"""Export to ONNX, and comparison of the file's outputs with the program's."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx_ir.passes import PassError
from torch import Tensor, fx, nn

from secateur.engine.errors import ExportError
from secateur.engine.export.branches import fuse_branches
from secateur.engine.export.format import ExportFormat
from secateur.engine.export.onnx_graph import (
    NEUTRAL,
    give_names,
    give_types,
    with_neutral_weights,
)
from secateur.engine.export.operators import operators_kept
from secateur.engine.export.session import OnnxSession
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.functional import op_name
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import where
from secateur.engine.program.writer import export_program

OPSET = 18
NEWEST_OPSET = 23  # that torch's exporter converts to
_REFUSALS = (torch.onnx.OnnxExporterError, PassError)  # the second by the exporter's optimiser
_LATER_OPSETS = {"deform_conv2d": 19}
# Share of the largest output magnitude. Float32 sums in another order differ by about 1e-6.
TOLERANCE = 1e-3
# Share of an integer or boolean output's values that may differ: a value on a decision boundary may
# fall on different sides in different runtimes.
INTEGER_TOLERANCE = 0.01


def export_onnx(program: Program, path: Path, opset: int | None = None) -> None:
    """Write one self-contained file, checked by onnx.checker.

    Its batch is dynamic unless the program's stays fixed.

    Inputs and outputs have the program's names and the types of the user's file, and a program read
    from an ONNX file keeps that file's own properties. Parallel branches of convolutions are fused.

    Args:
        program: The program.
        path: Destination.
        opset: Opset of the file, 18 or newer; None: 18, or what an operator or the user's ONNX
            file needs.

    Raises:
        ExportError: The exporter or the checker refuses the program, or an operator needs a newer
            opset.
    """
    _check_groups(program)
    program, weights = with_neutral_weights(fuse_branches(program))
    outputs = tensor_outputs(program)
    own = program.own_output_types
    try:
        with _quiet(), operators_kept():
            exported = torch.onnx.export(
                export_program(program),
                (),
                input_names=[f"{NEUTRAL}input_{index}" for index in range(len(program.inputs))],
                output_names=[f"{NEUTRAL}output_{index}" for index in range(len(outputs))],
                opset_version=_opset(program, opset),
                dynamo=True,
                verbose=False,
            )
        assert exported is not None  # noqa: S101  # dynamo=True always returns a program
        model = exported.model_proto
    except _REFUSALS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise ExportError(f"ONNX export failed: {reason}") from error
    # Node metadata would reveal file paths of this machine.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
        for dim in value.type.tensor_type.shape.dim:
            if batch and dim.dim_param == batch:
                dim.dim_param = "batch"
    give_types(model.graph, program, {place: own[i] for place, i in enumerate(outputs) if i in own})
    if program.origin is not None:
        onnx.helper.set_model_props(model, dict(program.origin.metadata))
    names = program.output_names
    give_names(model.graph, program.input_names, [names[index] for index in outputs], weights)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise ExportError(f"the exported ONNX file is not valid: {reason}") from error
    path.write_bytes(model.SerializeToString(deterministic=True))


def _opset(program: Program, wanted: int | None) -> int:
    """Return the ONNX opset: 18 for older runtimes, or later if an operator or the file has it.

    An ONNX file below opset 18 comes back as 18; `opsets` lowers it on request.
    """
    names = {op_name(node.target) for node in program.graph.nodes if node.op == "call_function"}
    own = program.origin.opset if program.origin is not None else OPSET
    needed = {_LATER_OPSETS[name]: name for name in names & _LATER_OPSETS.keys()}
    if wanted is None:
        return max(OPSET, min(own, NEWEST_OPSET), *needed)
    latest = max(needed, default=wanted)
    if latest > wanted:
        raise ExportError(
            f"opset {wanted} cannot express the network: it has {needed[latest]} (opset {latest} "
            "or newer)",
            hint=f"Set export.opset to {latest} or newer.",
        )
    return wanted


def _check_groups(program: Program) -> None:
    """Refuse convolutions with one group per sample: ONNX stores ``groups`` as a constant."""
    for node in program.graph.nodes:
        if op_name(node.target).startswith("conv") and any(
            isinstance(value, fx.Node) for value in [*node.args[6:7], node.kwargs.get("groups")]
        ):
            raise ExportError(
                f"{where(node)} has a group for every sample, which ONNX cannot hold: convolve "
                "with each expert and mix what comes out, not the weights; the result is the same"
            )


def warm_up_exporter() -> None:
    """Export a tiny network, so that the exporter's lazy imports are loaded."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten()).eval()
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(from_exported(export(net, (torch.zeros(2, 1, 4, 4),))), Path(folder) / "x.onnx")


@torch.no_grad()
def compare_onnx(program: Program, path: Path, batches: Sequence[tuple[Tensor, ...]]) -> float:
    """Return the largest absolute error of the file against the program.

    Integer and boolean values either match or not; they do not count towards the error.

    Raises:
        ExportError: An error exceeds `TOLERANCE` of the largest output, or is not finite; or more
            than `INTEGER_TOLERANCE` of an integer or boolean output's values differ.
    """
    module = ProgramModule(program, copy=False).eval()
    session = OnnxSession(path)
    names, outputs = program.output_names, tensor_outputs(program)
    worst = 0.0
    for batch in batches:
        given = [
            x.to(spec.given_dtype).to(spec.dtype)
            for spec, x in zip(program.inputs, batch, strict=True)
        ]
        expected = module.run(tuple(given))
        for index, found in zip(outputs, session(given), strict=True):
            own = program.own_output_types.get(index)
            worst = max(worst, _compare(names[index], expected[index], found, own))
    return worst


def tensor_outputs(program: Program) -> list[int]:
    """Return the indices of outputs that are not None; only those are in the file."""
    flat: Any = program.graph.output_node().args[0]
    return [index for index, value in enumerate(flat) if value is not None]


def _compare(name: str, expected: object, found: Tensor, own: torch.dtype | None) -> float:
    """Return the absolute error of one output."""
    x = torch.as_tensor(expected).cpu()
    if x.shape != found.shape:
        raise ExportError(
            f"output {name!r} of the ONNX file has shape {list(found.shape)}, the network's has "
            f"{list(x.shape)}"
        )
    if not x.numel():
        return 0.0
    if not x.is_floating_point():
        wrong = float((x != found).double().mean())
        if wrong > INTEGER_TOLERANCE:
            raise ExportError(
                f"output {name!r} of the ONNX file differs from the network in {wrong:.1%} of its "
                f"values, allowed {INTEGER_TOLERANCE:.0%}"
            )
        return 0.0
    # Rounding to a narrower type may give neighbouring values.
    share = TOLERANCE + (0.0 if own is None else torch.finfo(own).eps)
    error = float((x.double() - found.double()).abs().max())
    limit = share * max(1.0, float(x.double().abs().max()))
    if not error <= limit:
        raise ExportError(
            f"the ONNX file differs from the network by {error:.3g}, allowed {limit:.3g} "
            f"(output {name!r})"
        )
    return error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's progress output and deprecation warnings."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.getLogger("torch.onnx").setLevel(level)


ONNX = ExportFormat(
    "onnx",
    "model.onnx",
    "application/octet-stream",
    "the pruned network for ONNX Runtime, as the service runs it",
    export_onnx,
    compare=compare_onnx,
)
