"""Chooses the number of epochs and the learning rate if the config does not set them."""

import json
from dataclasses import replace
from pathlib import Path

from secateur.engine.files.atomic_write import atomic_write
from secateur.engine.program.program import Program
from secateur.engine.retrain import Phase, RetrainOptions, TrainingData
from secateur.engine.retrain.pace import seconds_per_step
from secateur.engine.retrain.range_test import RangeTest, find_learning_rate
from worker.pipeline.job.identity import job_key
from worker.pipeline.job.inputs import NUM_RECALIBRATION_SAMPLES, Inputs
from worker.pipeline.training.epochs import Epochs, decide_epochs

_RANGE_TEST = "range_test.json"
_FEW_STEPS = 100  # per epoch; with fewer, running statistics lag behind the weights


def decide_length(
    inputs: Inputs, phase: Phase, data: TrainingData, teacher: Program
) -> tuple[RetrainOptions, Epochs]:
    """Return options with the configured number of epochs, or one chosen by data and time."""
    options = inputs.retrain_options()
    request = inputs.request
    num_steps = len(data.train) // min(options.batch_size, len(data.train))
    settling = NUM_RECALIBRATION_SAMPLES if num_steps < _FEW_STEPS else 0
    options = replace(options, num_settling_samples=settling)
    epochs = decide_epochs(
        request.config,
        num_steps,
        request.time_limit_seconds,
        lambda: seconds_per_step(phase.program, data, options, teacher, phase.masks),
        request.checkpoint_dir / f"epochs-{job_key(request)}.json",
    )
    return replace(options, epochs=epochs.num), epochs


def decide_learning_rate(  # everything that determines a training run
    inputs: Inputs,
    phase: Phase,
    data: TrainingData,
    options: RetrainOptions,
    teacher: Program,
    folder: Path,
) -> tuple[RetrainOptions, RangeTest | None]:
    """Return options with the configured learning rate, or one found by a range test."""
    given = inputs.request.config.retrain.optimizer.learning_rate
    if given is not None:
        return _at(options, given), None
    path = folder / _RANGE_TEST
    if path.exists():
        body = json.loads(path.read_text())
        found = RangeTest(body["learning_rate"], tuple((a, b) for a, b in body["curve"]))
    else:
        inputs.reporter.progress(0, 1, "looking for a learning rate", is_forced=True)
        found = find_learning_rate(phase.program, data, options, teacher, phase.masks)
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(vars(found)))
    return _at(options, found.learning_rate), found


def _at(options: RetrainOptions, learning_rate: float) -> RetrainOptions:
    optimizer = replace(options.optimizer, learning_rate=learning_rate)
    return replace(options, optimizer=optimizer)
