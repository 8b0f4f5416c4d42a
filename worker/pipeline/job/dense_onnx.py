"""The dense network as ONNX: the latency baseline, exported before any other work."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from secateur.engine.errors import ExportError
from secateur.engine.export.onnx import compare_onnx, export_onnx
from secateur.engine.files.atomic_write import atomic_write
from secateur.engine.program.program import Program
from worker.pipeline.job.inputs import Inputs

DENSE_ONNX = "dense.onnx"
WITHOUT_ONNX = (
    'or prune without ONNX: secateur-engine prune --config FILE with {"export": {"formats": '
    '["pt2", "safetensors"]}}'
)


def export_dense(inputs: Inputs) -> None:
    """Write and check the dense network's ONNX file.

    The pruned network has the same operators, so export problems show up here first.

    Raises:
        ExportError: ONNX cannot represent the network, or ONNX Runtime cannot run it.
    """
    path = inputs.request.output_dir.parent / DENSE_ONNX
    if path.exists():
        return
    program = inputs.program
    with atomic_write(path) as partial:
        export_proved(program, partial, [program.example_inputs(3, seed=3)])


def export_proved(program: Program, path: Path, batches: Sequence[tuple[Tensor, ...]]) -> float:
    """Write an uploaded network as ONNX and return its largest absolute error on ``batches``.

    Raises:
        ExportError: ONNX cannot represent the network, or ONNX Runtime cannot run it; the message
            says how to prune without ONNX.
    """
    try:
        export_onnx(program, path)
        return compare_onnx(program, path, batches)
    except ExportError as error:
        raise ExportError(f"{error}; {WITHOUT_ONNX}") from error
