"""Export: write and check the trained network's files, and measure the ONNX file."""

from dataclasses import replace

from app.contracts.report import MetricsReport
from secateur.engine.export.formats import write_files
from secateur.engine.export.onnx import ONNX
from secateur.engine.export.session import OnnxSession
from secateur.engine.measure import compare_latency
from secateur.engine.program.precision import as_stored
from secateur.engine.program.program import Program
from worker.pipeline.job.dense_onnx import DENSE_ONNX
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.results import Exported, OnnxFile, Times, Trained
from worker.pipeline.job.served import served_metrics
from worker.pipeline.job.serving import serving_provider
from worker.pipeline.report.describe import latency_reports, load_report, speedup_reports
from worker.pipeline.targets import export_targets

BATCH_SIZES = (1, 8)


def export(inputs: Inputs, trained: Trained) -> Exported:
    """Write the files and targets requested in the config.

    Raises:
        ExportError: A file and the network give different outputs. A target that does is left out
            instead, and the report says why.
    """
    program = as_stored(trained.program)
    names = inputs.request.config.export.formats
    batches = [*inputs.real_batches(), program.example_inputs(3)]
    errors = write_files(program, inputs.request.output_dir, names, batches)
    if ONNX.name not in names:
        return Exported(program)
    exported = _measure_onnx(inputs, program, errors[ONNX.name])
    return replace(exported, targets=export_targets(inputs, program))


def _measure_onnx(inputs: Inputs, program: Program, error: float) -> Exported:
    """Measure the served ONNX file against the dense one."""
    request, reporter = inputs.request, inputs.reporter
    served, dense = request.output_dir / ONNX.file, request.output_dir.parent / DENSE_ONNX
    reporter.progress(1, 3, "measuring latency", is_forced=True)
    provider = serving_provider(inputs)
    timed = compare_latency(
        (dense, served),
        inputs.program.inputs,
        BATCH_SIZES,
        num_threads=request.serving_num_threads,
        provider=provider,
        seconds=request.latency_seconds,
    )
    reporter.progress(2, 3, "measured latency", is_forced=True)
    before, after = (
        OnnxFile(path.stat().st_size, latency_reports(found))
        for path, found in zip((dense, served), timed.latencies, strict=True)
    )
    times = Times(speedup_reports(timed.speedups[0], timed.latencies[1]), load_report(timed.load))
    metrics: tuple[MetricsReport, ...] = ()
    if inputs.dataset is not None:
        metrics = served_metrics(inputs, program, OnnxSession(served, provider=provider))
    return Exported(program, before, after, error, times, metrics)
