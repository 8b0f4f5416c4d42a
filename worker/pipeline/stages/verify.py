"""Verify: certify the trained network against its masked twin, and score it."""

from secateur.engine.surgery import certify_retrained
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.results import Trained, Verified


def verify(inputs: Inputs, trained: Trained) -> Verified:
    """Return the certificate and the metrics of the trained network.

    Raises:
        EquivalenceError: The compacted network and the masked one give different outputs.
    """
    certificate = certify_retrained(
        inputs.program, inputs.analysis, trained.plan, trained.program, inputs.proof_batches()
    )
    return Verified(certificate, inputs.metrics(trained.program))
