"""Intake: validate an uploaded model or data set, and report what can be pruned."""

from app.contracts.job import Stage
from secateur.engine.graph import analyse
from secateur.engine.latency import bench_of
from worker.messages import JobRequest, OutputFile, Succeeded
from worker.pipeline.data import open_dataset
from worker.pipeline.data.duplicates import duplicate_notes
from worker.pipeline.data.examples import examples
from worker.pipeline.data.preprocess import network_sees
from worker.pipeline.job.checks import check_computes
from worker.pipeline.job.dense_onnx import export_proved
from worker.pipeline.job.model_files import read_model
from worker.pipeline.job.reporter import Reporter
from worker.pipeline.report.describe import verdict

ONNX = OutputFile(name="model.onnx", media_type="application/octet-stream")


def intake_model(request: JobRequest, reporter: Reporter) -> Succeeded:
    """Validate a model, report what can be pruned, and export the ONNX file that serves it.

    Raises:
        EngineError: The model is refused, or its ONNX file gives different outputs.
    """
    reporter.begin(Stage.INTAKE)
    program = read_model(request.require_model(), request.limits)
    check_computes(program)
    analysis = analyse(program)
    report = verdict(program, analysis) | {"bench": bench_of(program, analysis)}
    path = request.output_dir / ONNX.name
    batches = [program.example_inputs(size, seed=size) for size in (1, 3)]
    report["onnx_max_absolute_error"] = export_proved(program, path, batches)
    return Succeeded(result={}, report=report, files=(ONNX,), onnx=ONNX.name)


def intake_dataset(request: JobRequest, reporter: Reporter) -> Succeeded:
    """Read an entire data set and summarise it.

    Raises:
        DataError: The file is not a valid data set.
    """
    reporter.begin(Stage.INTAKE)
    given = request.require_dataset()
    dataset = open_dataset(
        given.path, given.format, given.preprocess, request.output_dir, limits=request.limits
    )
    summary = dataset.summary()
    summary["notes"] += duplicate_notes(dataset.rows, dataset.split)
    preprocess = dataset.preprocess.model_dump(mode="json")
    seen = {
        "preprocess": preprocess,
        "network_sees": network_sees(dataset),
        "examples": examples(dataset),
    }
    return Succeeded(result={}, report=summary | seen)
