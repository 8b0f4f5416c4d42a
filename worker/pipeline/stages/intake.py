"""Intake: read the model and the data set, and check that the dense network performs on it."""

from worker.messages import JobRequest
from worker.pipeline.job.dense_onnx import export_dense
from worker.pipeline.job.inputs import Inputs, open_inputs
from worker.pipeline.job.reporter import Reporter
from worker.pipeline.report.describe import notes_on
from worker.pipeline.sanity.check import check_sanity


def intake(request: JobRequest, reporter: Reporter) -> Inputs:
    """Return the inputs of a job, after checking that the dense network exports and performs.

    Raises:
        ModelRejectedError: The model is refused.
        DataError: The data set is refused, or does not fit the model or the objective.
        ExportError: ONNX is requested and cannot represent the network.
        DataMismatchError: The dense network performs too poorly on the data set.
    """
    inputs = open_inputs(request, reporter)
    for note in notes_on(inputs.program):
        reporter.warn(note)
    if "onnx" in request.config.export.formats:
        export_dense(inputs)
    check_sanity(inputs)
    return inputs
