"""Intake: read the model and the data set, and check that the dense network performs on it."""

from dataclasses import replace

from app.contracts.spec import HOLD_NETWORK, measures_onnx
from secateur.engine.errors import ExportError
from secateur.engine.export.onnx import ONNX
from worker.messages import JobRequest
from worker.pipeline.job.dense_onnx import export_dense
from worker.pipeline.job.inputs import Inputs, open_inputs
from worker.pipeline.job.reporter import Reporter
from worker.pipeline.report.describe import notes_on
from worker.pipeline.sanity.check import check_sanity
from worker.pipeline.targets import chosen_targets, rehearse_targets, require_installed


def intake(request: JobRequest, reporter: Reporter) -> Inputs:
    """Return the inputs of a job, after checking that the dense network exports and performs.

    Raises:
        ModelRejectedError: The model is refused.
        DataError: The data set is refused, or does not fit the model or the objective.
        ExportError: ONNX cannot represent the network, and it is the only format, measured, or the
            base of an int8 file or a target; or a target cannot.
        DataMismatchError: The dense network performs too poorly on the data set.
    """
    inputs = open_inputs(request, reporter)
    for note in notes_on(inputs.program):
        reporter.warn(note)
    require_installed(chosen_targets(request.config.export))
    if ONNX.name in request.config.export.formats:
        inputs = _with_onnx(inputs)
    rehearse_targets(inputs)
    check_sanity(inputs)
    return inputs


def _with_onnx(inputs: Inputs) -> Inputs:
    """Export the dense network as ONNX, or leave ONNX out of the formats and say why."""
    config = inputs.request.config
    try:
        export_dense(inputs)
    except ExportError as error:
        formats = [name for name in config.export.formats if name != ONNX.name]
        export = config.export
        is_base = config.precision.kind == "int8" or export.targets or export.opset
        needs_onnx = measures_onnx(config) or is_base
        if needs_onnx or not HOLD_NETWORK & set(formats):
            raise
        inputs.reporter.warn(
            f"there is no {ONNX.file}, and no latency is measured: {error.__cause__}"
        )
        export = export.model_copy(update={"formats": tuple(formats)})
        config = config.model_copy(update={"export": export})
        return replace(inputs, request=inputs.request.model_copy(update={"config": config}))
    return inputs
