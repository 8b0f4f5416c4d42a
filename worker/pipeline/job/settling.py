"""Settling: what follows a cut before a network is trained or compared.

With samples the kept weights are refitted (`secateur.engine.repair`), without samples the removed
channels are folded into similar ones; with ``repair.kind: none`` only BatchNorm's statistics are
measured again. Used for the network of the job, its baselines, the
candidates of ``criterion: auto``, the trials of a search and the cuts of an iterative schedule.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from secateur.engine.files.atomic_write import atomic_write
from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.repair import (
    Refit,
    Repaired,
    RepairOptions,
    fold_program,
    may_fold,
    repair_program,
)
from secateur.engine.samples import spread
from secateur.engine.surgery import compact, expand_program, mask_program
from worker.pipeline.data import Split
from worker.pipeline.job.identity import job_key
from worker.pipeline.job.inputs import Inputs

_BATCH = 64
OnProgress = Callable[[int, int], None]
RepairKind = Literal["reconstruct", "fold", "none"]


def repair_kind(inputs: Inputs) -> RepairKind:
    """Return how networks of this job are repaired after a cut."""
    kind = inputs.request.config.repair.kind
    if kind in {"auto", "reconstruct"} and inputs.num_training_samples > 0:
        return "reconstruct"
    return "fold" if kind in {"auto", "fold"} and may_fold(inputs.program) else "none"


def repair_record(inputs: Inputs) -> dict[str, Any] | None:
    """Return how networks of this job are repaired, for the plan; None if they are not."""
    data, config, kind = inputs.request.dataset, inputs.request.config, repair_kind(inputs)
    if kind == "fold":
        return {"kind": kind}
    if data is None or kind == "none":
        return None
    return {
        "kind": kind,
        "options": config.repair.model_dump(mode="json", exclude={"kind"}),
        "split": config.split.model_dump(mode="json"),
        "dataset_sha256": data.sha256,
        "preprocess": data.preprocess.model_dump(mode="json"),
    }


def settled(inputs: Inputs, program: Program, plan: Plan) -> Program:
    """Return the compacted network of a plan, repaired or with BatchNorm's statistics."""
    match repair_kind(inputs):
        case "reconstruct":
            return repaired(inputs, program, plan).program
        case "fold":
            return fold_program(program, inputs.analysis, plan).program
        case "none":
            return inputs.recalibrated(compact(program, inputs.analysis, plan))


def settled_twin(inputs: Inputs, program: Program, plan: Plan) -> Program:
    """Return the masked twin of a plan, repaired or with BatchNorm's statistics."""
    if repair_kind(inputs) == "none":
        return inputs.recalibrated(mask_program(program, plan))
    return expand_program(program, plan, settled(inputs, program, plan))


def repaired(
    inputs: Inputs, program: Program, plan: Plan, on_progress: OnProgress | None = None
) -> Repaired:
    """Return the compacted network of a plan with refitted weights.

    The dense network's repair is saved beside the checkpoints, so that a job that resumes, and the
    runs of one job, share it.

    Args:
        inputs: Inputs of the job.
        program: The dense network, or the same graph with the weights of a later cut.
        plan: Channels that are kept.
        on_progress: Called with (done, total) calls of the network.
    """
    if program is not inputs.program:
        return _repair(inputs, program, plan, on_progress)
    path = inputs.request.checkpoint_dir / f"repair-{job_key(inputs.request, plan.to_json())}"
    smaller = compact(program, inputs.analysis, plan)
    found = _recall(path, smaller)
    if found is None:
        found = _repair(inputs, program, plan, on_progress)
        _remember(path, found)
    return found


def _repair(
    inputs: Inputs, program: Program, plan: Plan, on_progress: OnProgress | None
) -> Repaired:
    assert inputs.dataset is not None  # noqa: S101  # callers only ask with samples
    config = inputs.request.config
    train, there = inputs.dataset.indices(Split.TRAIN), inputs.on_device(program)
    options = RepairOptions(ridge=config.repair.ridge, seed=config.seed, on_progress=on_progress)

    def solve(num_samples: int) -> Repaired:
        parts = spread(train, num_samples).split(_BATCH)
        batches = [(inputs.source.batch(part)[0],) for part in parts]
        return repair_program(there, inputs.analysis, plan, batches, options)

    found = inputs.batches.run("repair", config.repair.num_samples, solve)
    return Repaired(found.program.to(program.device), found.refits, found.num_samples)


def _remember(path: Path, found: Repaired) -> None:
    about = {"refits": [asdict(refit) for refit in found.refits], "samples": found.num_samples}
    tensors = {name: tensor.contiguous().clone() for name, tensor in found.program.tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        save_file(tensors, partial, metadata={"repair": json.dumps(about)})


def _recall(path: Path, smaller: Program) -> Repaired | None:
    """Return a saved repair; None if there is none or its file is damaged."""
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["repair"])
        tensors = load_file(path)
    except (OSError, SafetensorError):
        return None
    refits = tuple(Refit(**refit) for refit in about["refits"])
    return Repaired(smaller.with_tensors(tensors), refits, int(about["samples"]))
