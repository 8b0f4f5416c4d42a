"""Quality that a preview can tell: that of the repaired network, within a budget of seconds."""

import time

from app.contracts.report import PlannedQuality
from secateur.engine.plan import Plan
from worker.pipeline.data import Split
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.metrics import finite
from worker.pipeline.job.settling import repair_kind, repaired, settled

_NUM_SAMPLES = 1024


class _OutOfTimeError(Exception):
    """The repair takes longer than the budget."""


def planned_quality(inputs: Inputs, plan: Plan, seconds: float) -> PlannedQuality | None:
    """Return the quality of a plan's network after repair; None if it cannot be had in time.

    Args:
        inputs: Inputs of the preview.
        plan: The plan.
        seconds: Longest time for the repair; 0: no time.
    """
    indices = None if inputs.dataset is None else inputs.dataset.indices(Split.VALIDATION)
    kind = repair_kind(inputs)
    if seconds <= 0 or kind == "none" or indices is None or len(indices) == 0:
        return None
    ends = time.monotonic() + seconds

    def watch(done: int, total: int) -> None:
        inputs.reporter.progress(done, total, f"refitted {done} of {total} calls")
        if time.monotonic() > ends:
            raise _OutOfTimeError

    try:
        if kind == "reconstruct":
            program = repaired(inputs, inputs.program, plan, watch).program
        else:
            program = settled(inputs, inputs.program, plan)
    except _OutOfTimeError:
        return None
    dense = inputs.score(inputs.program, Split.VALIDATION, _NUM_SAMPLES)
    found = inputs.score(program, Split.VALIDATION, _NUM_SAMPLES)
    if dense is None or found is None:
        return None
    change = found.doubt().change
    return PlannedQuality(
        metric=found.primary,
        dense=finite(dense.values[dense.primary]),
        repaired=finite(found.values[found.primary]),
        interval=None if change is None else (change.low, change.high),
        num_samples=found.num_samples,
    )
