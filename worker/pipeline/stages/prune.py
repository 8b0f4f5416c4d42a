"""Prune: compact the network by its plan, then verify and measure it before training."""

from secateur.engine.plan import Plan
from secateur.engine.surgery import audit, compact
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.results import Untrained


def compact_untrained(inputs: Inputs, plan: Plan) -> Untrained:
    """Return the compacted network before training.

    Raises:
        EquivalenceError: The compacted network and the masked one give different outputs.
    """
    program, analysis = inputs.program, inputs.analysis
    pruned = compact(program, analysis, plan)
    return Untrained(
        pruned,
        audit(program, analysis, plan, inputs.proof_batches()),
        inputs.metrics(pruned),
        inputs.metrics(inputs.recalibrated(pruned)),
    )
