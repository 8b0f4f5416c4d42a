"""The retrain stage: checkpoints, resuming, the two modes, and the device it runs on.

Training is what costs; everything else of a job runs on the CPU.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from worker.engine.errors import DataError
from worker.engine.plan import Plan
from worker.engine.program.program import Program
from worker.engine.retrain import (
    EpochRecord,
    Hooks,
    RetrainOptions,
    RetrainResult,
    RetrainState,
    SampleSource,
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
    program = program.to(request.device)
    if request.device != "cpu":
        data = replace(data, source=_OnDevice(data.source, torch.device(request.device)))
    folder = request.checkpoint_dir / _key(request, plan)
    hooks = Hooks(
        on_step=lambda step, total: reporter.progress(step, total, f"step {step} of {total}"),
        on_epoch=lambda record: _tell(reporter, record, options.epochs),
        checkpoint=lambda state: _save(state, folder),
    )
    found = retrain(
        program,
        data,
        options,
        masks=keep_masks(program, plan) if is_masked else None,
        hooks=hooks,
        resume=_resume(folder),
    )
    return RetrainResult(found.program.to("cpu"), found.history)


@dataclass(frozen=True)
class _OnDevice:
    """Samples on an accelerator; copied from pinned memory, while it computes. Never run on one."""

    source: SampleSource
    device: torch.device

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return a batch of the source on the device."""
        x, y = self.source.batch(indices)
        moved = x.pin_memory().to(self.device, non_blocking=True)
        return moved, None if y is None else y.to(self.device, non_blocking=True)


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
