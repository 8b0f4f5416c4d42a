"""``secateur-engine quantize``: the int8 file of a network, without pruning it."""

import shutil
import tempfile
from pathlib import Path

from app.contracts.precision_spec import PrecisionSpec
from app.contracts.report import Int8Report
from app.contracts.spec import ArchitectureSpec, PreprocessSpec, PruneConfig
from app.terminal import LiteralConsole
from secateur.engine.export.onnx import ONNX, export_onnx
from secateur.engine.quantize import Int8Trials, QuantizeOptions, TargetName, write_int8
from worker.cli.local import LocalError, local_request, open_model
from worker.cli.progress import ConsoleReporter
from worker.pipeline.job.inputs import open_inputs
from worker.pipeline.job.results import INT8_ONNX, Exported
from worker.pipeline.report.int8 import int8_report
from worker.pipeline.stages.quantize import quantize_exported

_NUM_RANDOM = 8  # samples of a file for timing


def quantize_with_samples(  # the parts of a job
    model: Path,
    architecture: ArchitectureSpec | None,
    spec: PrecisionSpec,
    data: Path,
    preprocess: PreprocessSpec | None,
    output: Path,
) -> Int8Report:
    """Write the int8 file of a network if it keeps its promise, as the stage of a job does.

    Raises:
        LocalError: The options do not fit together, or no int8 file is good enough.
        EngineError: The model or the samples cannot be used.
    """
    config = PruneConfig.model_validate({"precision": spec, "retrain": {"epochs": 0}})
    with (
        tempfile.TemporaryDirectory(prefix="secateur-") as folder,
        local_request(
            model, architecture, config, data, Path(folder), "cpu", 0, preprocess
        ) as request,
        ConsoleReporter(LiteralConsole(stderr=True)) as reporter,
    ):
        inputs = open_inputs(request, reporter)
        export_onnx(inputs.program, request.output_dir / ONNX.file)
        found = int8_report(quantize_exported(inputs, Exported(inputs.program)))
        assert found is not None  # noqa: S101  # the config asks for int8
        if not found.is_kept:
            raise LocalError(found.reason)
        shutil.move(request.output_dir / INT8_ONNX, output)
    return found


def quantize_for_timing(
    model: Path, architecture: ArchitectureSpec | None, target: TargetName | None, output: Path
) -> str:
    """Write an int8 file from random samples, with the operators that are fastest here.

    Returns:
        What the file is good for.

    Raises:
        LocalError: The options do not fit together.
        EngineError: The model cannot be quantised.
    """
    program = open_model(model, architecture)
    samples = tuple(program.example_inputs(_NUM_RANDOM))
    with tempfile.TemporaryDirectory(prefix="secateur-") as folder:
        dense = Path(folder) / "dense.onnx"
        export_onnx(program, dense)
        options = QuantizeOptions(target=target, batch_sizes=(1,))
        trials = Int8Trials(dense, program.inputs, samples, options)
        write_int8(dense, output, [samples], target=target, recipe=trials.recipe)
    return (
        f"The int8 file takes {trials.dense_share:.3f} of the fp32 file's latency here. Its ranges "
        "come from random numbers: measure it, and use its answers for nothing."
    )
