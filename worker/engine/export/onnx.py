"""Export to ONNX, and proof that the file computes what the program computes."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from worker.engine.errors import ExportError
from worker.engine.program.exported import export, from_exported
from worker.engine.program.functional import op_name
from worker.engine.program.module import ProgramModule
from worker.engine.program.program import Program
from worker.engine.program.writer import export_program

OPSET = 18
_LATER_OPSETS = {"deform_conv2d": 19}
# Of the largest output magnitude: float32 sums in another order differ by about 1e-6.
TOLERANCE = 1e-3


def export_onnx(program: Program, path: Path) -> None:
    """Write one self-contained file with a dynamic batch, checked by onnx.checker.

    Inputs are named ``input`` (or ``input_0`` …), outputs ``output`` (or ``output_0`` …).

    Raises:
        ExportError: The exporter or the checker refuses the program.
    """
    num_outputs = len(program.graph.output_node().args[0])  # type: ignore[arg-type]
    try:
        with _quiet():
            exported = torch.onnx.export(
                export_program(program),
                (),
                input_names=_names("input", len(program.inputs)),
                output_names=_names("output", num_outputs),
                opset_version=_opset(program),
                dynamo=True,
                verbose=False,
            )
        assert exported is not None  # noqa: S101  # dynamo=True always returns a program
        model = exported.model_proto
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(f"ONNX export failed: {str(error).splitlines()[0]}") from error
    # Names in the file would tell where the model was written.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == batch:
                dim.dim_param = "batch"
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _opset(program: Program) -> int:
    """Return the version of ONNX's operators; some came later than what older runtimes read."""
    names = {op_name(node.target) for node in program.graph.nodes if node.op == "call_function"}
    return max([OPSET, *(_LATER_OPSETS[name] for name in names & _LATER_OPSETS.keys())])


def warm_up_exporter() -> None:
    """Export a network of two layers, so that everything the exporter loads lazily is there."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten()).eval()
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(from_exported(export(net, (torch.zeros(2, 1, 4, 4),))), Path(folder) / "x.onnx")


@torch.no_grad()
def compare_onnx(program: Program, path: Path, batches: Sequence[tuple[Tensor, ...]]) -> float:
    """Return the largest absolute error of the file against the program in float32.

    Raises:
        ExportError: The error is more than `TOLERANCE` of the largest output, or not finite.
    """
    module = ProgramModule(program, copy=False).eval()
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    worst = 0.0
    for batch in batches:
        feed = {name: x.contiguous().numpy() for name, x in zip(names, batch, strict=True)}
        expected = [x for x in module.run(batch) if isinstance(x, Tensor)]
        for x, y in zip(expected, session.run(None, feed), strict=True):
            reference = x.numpy()
            error = float(np.abs(reference - y).max(initial=0.0))
            limit = TOLERANCE * max(1.0, float(np.abs(reference).max(initial=0.0)))
            if not error <= limit:
                raise ExportError(
                    f"the ONNX file differs from the network by {error:.3g}, allowed {limit:.3g}"
                )
            worst = max(worst, error)
    return worst


def _names(stem: str, count: int) -> list[str]:
    return [stem] if count == 1 else [f"{stem}_{index}" for index in range(count)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress marks and deprecation notes off our streams."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.getLogger("torch.onnx").setLevel(level)
