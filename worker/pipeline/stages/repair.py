"""Repair: refit the kept weights of the pruned network from samples, and measure the result."""

from app.contracts.report import RefitReport, RepairReport
from secateur.engine.plan import Plan
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.metrics import finite
from worker.pipeline.job.results import Repaired
from worker.pipeline.job.settling import is_repaired, repaired


def repair(inputs: Inputs, plan: Plan) -> Repaired | None:
    """Return the repaired network; None if the config or the data set rules a repair out."""
    if not is_repaired(inputs):
        return None
    spec = inputs.request.config.repair
    tell = inputs.reporter.progress
    found = repaired(
        inputs,
        inputs.program,
        plan,
        lambda done, total: tell(done, total, f"refitted {done} of {total} calls"),
    )
    if found.num_samples < min(spec.num_samples, inputs.num_training_samples):
        inputs.reporter.warn(
            f"the network was repaired with {found.num_samples} samples instead of "
            f"{spec.num_samples}: the activations of more do not fit in memory"
        )
    report = RepairReport(
        kind="reconstruct",
        num_samples=found.num_samples,
        ridge=spec.ridge,
        refits=tuple(
            RefitReport(
                weight=refit.weight,
                before=finite(refit.before) or 0.0,
                after=finite(refit.after) or 0.0,
            )
            for refit in found.refits
        ),
    )
    return Repaired(found.program, report, inputs.metrics(found.program))
