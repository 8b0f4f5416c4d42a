"""Prune: compact the network by its plan, and prove and measure what is left without training."""

from secateur.engine.plan import Plan
from secateur.engine.surgery import audit, compact
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.results import Untrained


def compact_untrained(inputs: Inputs, plan: Plan) -> Untrained:
    """Return the network that a plan leaves without training.

    Raises:
        EquivalenceError: It does not compute what the masked network computes.
    """
    program, analysis = inputs.program, inputs.analysis
    pruned = compact(program, analysis, plan)
    return Untrained(
        pruned,
        audit(program, analysis, plan, inputs.proof_batches()),
        inputs.metrics(pruned),
        inputs.metrics(inputs.recalibrated(pruned)),
    )
