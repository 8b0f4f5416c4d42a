"""Repair: refit the pruned network's weights, or fold channels into it, and measure the result."""

from app.contracts.report import RefitReport, RepairReport
from secateur.engine.plan import Plan
from secateur.engine.repair import fold_program
from secateur.engine.surgery import certify, inexact_ops
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.metrics import finite
from worker.pipeline.job.results import Repaired
from worker.pipeline.job.settling import repair_kind, repaired

_PLAIN = (
    "the network was cut without repair: folding needs BatchNorm, which it does not have, and "
    "there are no samples to refit the weights from. A data set without labels is enough"
)


def repair(inputs: Inputs, plan: Plan) -> Repaired | None:
    """Return the repaired network; None if the config or the data set rules a repair out.

    Raises:
        EquivalenceError: A folded network and its twin give different outputs.
    """
    kind = repair_kind(inputs)
    if kind == "fold":
        return _folded(inputs, plan)
    if kind == "none":
        if inputs.request.config.repair.kind != "none":
            inputs.reporter.warn(_PLAIN)
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


def _folded(inputs: Inputs, plan: Plan) -> Repaired:
    """Return the folded network, certified against the dense network with merged channels."""
    found = fold_program(inputs.program, inputs.analysis, plan)
    ops = inexact_ops(inputs.analysis, plan)
    certify(found.twin, found.program, inputs.proof_batches(), ops)
    report = RepairReport(
        kind="fold",
        num_samples=0,
        ridge=inputs.request.config.repair.ridge,
        refits=(),
        num_merged=found.num_merged,
    )
    return Repaired(found.program, report, inputs.metrics(found.program))
