"""Checkpoints of a training run: saving, reporting and resuming.

What a run reported travels in its checkpoint, and a resumed run reports it again: the worker may
have lost it before it reached the database. The keys of the reports prevent duplicates.
"""

import json
import time
from contextlib import suppress
from pathlib import Path

from secateur.engine.errors import DataError
from secateur.engine.files.atomic_write import atomic_write
from secateur.engine.retrain import (
    EpochRecord,
    Hooks,
    RetrainOptions,
    RetrainState,
    load_state,
    save_state,
)
from worker.messages import Json
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.report.describe import epoch_report

_REPORTED = "reported.json"


def hooks(
    inputs: Inputs, options: RetrainOptions, folder: Path, state: RetrainState | None
) -> Hooks:
    """Return hooks that report every step and epoch, and save the state in ``folder`` when due.

    What earlier attempts reported up to ``state``, which the run resumes from, is reported again.
    """
    reporter = inputs.reporter
    saved_at = time.monotonic()
    num_restarts = 0 if state is None else state.num_restarts
    reported = {} if state is None else _reported(folder)
    for key, found in reported.items():
        if isinstance(found, str):
            reporter.warn(found)
        else:
            reporter.metric(found, key)

    def is_save_due() -> bool:
        is_late = time.monotonic() - saved_at >= inputs.request.checkpoint_seconds
        return is_late or reporter.stop.is_requested

    def tell(record: EpochRecord) -> None:
        found = epoch_report(record).model_dump()
        run = {"run": reporter.title, "metric": inputs.primary_metric, "num_epochs": options.epochs}
        data = {"kind": "epoch", **run, **found}
        key = f"{folder.name}.{num_restarts}.{record.epoch}"
        reported[key] = data
        reporter.metric(data, key)

    def restart(message: str) -> None:
        nonlocal num_restarts
        num_restarts += 1
        reported[f"{folder.name}.{num_restarts}"] = message
        reporter.warn(message)

    def save(state: RetrainState) -> None:
        nonlocal saved_at
        with atomic_write(folder / _REPORTED) as partial:
            partial.write_text(json.dumps(reported))
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
        on_restart=restart,
        checkpoint=save,
        is_save_due=is_save_due,
    )


def resume(folder: Path) -> RetrainState | None:
    """Return the saved state that a run resumes from, if any."""
    try:
        return load_state(folder)
    except DataError:  # damaged: starting over loses time, failing would lose the job
        return None


def _reported(folder: Path) -> dict[str, Json | str]:
    """Return the metrics and warnings that earlier attempts reported, by key."""
    found: dict[str, Json | str] = {}
    with suppress(OSError, ValueError):  # an earlier version saved the state
        found = json.loads((folder / _REPORTED).read_text())
    return found
