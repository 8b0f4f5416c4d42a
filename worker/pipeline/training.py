"""The retrain stage: checkpoints, resuming, and the two modes."""

import hashlib
import json
from pathlib import Path

from worker.engine.errors import DataError
from worker.engine.plan import Plan
from worker.engine.program.program import Program
from worker.engine.retrain import (
    EpochRecord,
    Hooks,
    RetrainOptions,
    RetrainResult,
    RetrainState,
    TrainingData,
    load_state,
    retrain,
    save_state,
)
from worker.engine.surgery import keep_masks
from worker.pipeline.describe import epoch_report
from worker.pipeline.reporter import Reporter
from worker.protocol import JobRequest


def train(  # a stage's inputs
    request: JobRequest,
    reporter: Reporter,
    program: Program,
    plan: Plan,
    data: TrainingData,
    options: RetrainOptions,
) -> RetrainResult:
    """Train from the newest checkpoint of this very job, or from the start.

    ``program`` is the compacted network, or the masked twin when the config says ``masked``.
    """
    is_masked = request.config.retrain.mode == "masked"
    folder = request.checkpoint_dir / _key(request, plan)
    hooks = Hooks(
        on_step=lambda step, total: reporter.progress(step, total, f"step {step} of {total}"),
        on_epoch=lambda record: _tell(reporter, record, options.epochs),
        checkpoint=lambda state: _save(state, folder),
    )
    return retrain(
        program,
        data,
        options,
        masks=keep_masks(program, plan) if is_masked else None,
        hooks=hooks,
        resume=_resume(folder),
    )


def _key(request: JobRequest, plan: Plan) -> str:
    """Name what a checkpoint belongs to: config, model, data and plan."""
    parts = [
        request.config.model_dump_json(),
        request.model_sha256,
        request.dataset_sha256,
        plan.to_json(),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _save(state: RetrainState, folder: Path) -> None:
    save_state(state, folder)


def _resume(folder: Path) -> RetrainState | None:
    try:
        return load_state(folder)
    except DataError:  # damaged: starting over loses time, failing would lose the job
        return None


def _tell(reporter: Reporter, record: EpochRecord, num_epochs: int) -> None:
    found = epoch_report(record)
    reporter.metric({"kind": "epoch", "num_epochs": num_epochs, **found.model_dump()})
