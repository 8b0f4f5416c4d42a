"""Measure how long a training step takes. The network is not changed."""

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from secateur.engine.objectives import OBJECTIVES
from secateur.engine.program.program import Program
from secateur.engine.retrain.augment import Augmentation
from secateur.engine.retrain.data import TrainingData
from secateur.engine.retrain.generators import fork_generators
from secateur.engine.retrain.losses import check_finite
from secateur.engine.retrain.options import RetrainOptions
from secateur.engine.retrain.teacher import Teacher
from secateur.engine.retrain.trainer import Trainer, make_lesson, resolve_precision

_NUM_STEPS = 3


def seconds_per_step(
    program: Program,
    data: TrainingData,
    options: RetrainOptions,
    teacher: Program | None = None,
    masks: Mapping[str, Tensor] | None = None,
) -> float:
    """Return the median seconds of three steps, including reading and augmenting their batches.

    Raises:
        DataError: Samples or labels do not fit.
        DivergenceError: The loss is not finite from the first step on.
    """
    taught = None
    objective = OBJECTIVES[options.objective.kind]
    if teacher is not None and objective.needs_teacher:
        taught = Teacher(
            teacher, data.source, data.train, is_before_ending=objective.is_before_ending
        )
    lesson = make_lesson(program, taught, options)
    trainer = Trainer(program, options, resolve_precision(options, program), lesson, masks or {})
    trainer.module.train()
    augment = Augmentation(options.augment)
    generator = torch.Generator().manual_seed(options.seed)
    batch = data.train[: min(options.batch_size, len(data.train))]
    taken = []
    with fork_generators(program.device):
        for step in range(1 + _NUM_STEPS):  # the first warms up
            started_at = time.monotonic()
            x, labels = data.source.batch(batch)
            loss = trainer.step(augment(x, generator), labels, 0.0, step)
            check_finite(float(loss), step, 0.0)  # waits for an accelerator
            taken.append(time.monotonic() - started_at)
    return sorted(taken[1:])[_NUM_STEPS // 2]
