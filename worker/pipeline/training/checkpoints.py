"""Checkpoints of a training run: saving, reporting and resuming."""

import time
from pathlib import Path

from secateur.engine.errors import DataError
from secateur.engine.retrain import (
    EpochRecord,
    Hooks,
    RetrainOptions,
    RetrainState,
    load_state,
    save_state,
)
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.report.describe import epoch_report


def hooks(inputs: Inputs, options: RetrainOptions, folder: Path) -> Hooks:
    """Return hooks that report every step and epoch, and save the state in ``folder`` when due."""
    reporter = inputs.reporter
    saved_at = time.monotonic()

    def is_save_due() -> bool:
        is_late = time.monotonic() - saved_at >= inputs.request.checkpoint_seconds
        return is_late or reporter.stop.is_requested

    def tell(record: EpochRecord) -> None:
        found = epoch_report(record).model_dump()
        run = {"run": reporter.title, "metric": inputs.primary_metric, "num_epochs": options.epochs}
        reporter.metric({"kind": "epoch", **run, **found})

    def save(state: RetrainState) -> None:
        nonlocal saved_at
        save_state(state, folder)
        saved_at = time.monotonic()
        reporter.saved()
        if reporter.stop.is_requested:
            reporter.stop.exit()

    return Hooks(
        on_step=lambda step, total: reporter.progress(
            step, total, f"step {step} of {total}", cycle=total // options.epochs
        ),
        on_epoch=tell,
        on_restart=reporter.warn,
        checkpoint=save,
        is_save_due=is_save_due,
    )


def resume(folder: Path) -> RetrainState | None:
    """Return the saved state that a run resumes from, if any."""
    try:
        return load_state(folder)
    except DataError:  # damaged: starting over loses time, failing would lose the job
        return None
