"""Judge ONNX files in ONNX Runtime, as ``/infer`` runs them."""

from collections.abc import Callable, Sequence

from torch import Tensor

from app.contracts.report import MetricsReport
from secateur.engine.metrics import Judge, Metrics, Reference, fitting_batch
from secateur.engine.objectives.outputs import float_outputs
from secateur.engine.program.program import Program
from secateur.engine.samples import spread
from worker.pipeline.data import Split
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.metrics import metrics_report

Run = Callable[[Sequence[Tensor]], list[Tensor]]


def served_score(  # the file, its network, and the samples
    inputs: Inputs,
    program: Program,
    run: Run,
    split: Split,
    reference: Reference | None,
    *,
    limit: int | None = None,
) -> Metrics | None:
    """Return the metrics of a file on a split, or on ``limit`` samples; None without any.

    Args:
        inputs: The job's inputs.
        program: A network with the file's outputs.
        run: Computes the file's outputs.
        split: The split.
        reference: The network that the outputs are compared with.
        limit: Number of samples; None: all.
    """
    if inputs.dataset is None:
        return None
    indices = inputs.dataset.indices(split)
    if limit is not None:
        indices = spread(indices, limit)
    if len(indices) == 0:
        return None
    kind, reading = inputs.dataset.labels_kind, inputs.chosen.reading
    judge = Judge(program, kind, reference, reading)
    for part in indices.split(fitting_batch(program)):
        x, y = inputs.dataset.batch(part)
        judge.add(float_outputs(run((x,))), x, y, part)
    return judge.metrics()


def served_metrics(inputs: Inputs, program: Program, run: Run) -> tuple[MetricsReport, ...]:
    """Return the metrics of a file on every held-out split, beside the dense network's."""
    names = () if inputs.dataset is None else inputs.dataset.class_names
    found = (
        (split, served_score(inputs, program, run, split, inputs.reference))
        for split in (Split.VALIDATION, Split.TEST)
    )
    return tuple(
        metrics_report(metrics, split, "onnxruntime", names)
        for split, metrics in found
        if metrics is not None
    )
