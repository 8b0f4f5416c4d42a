"""Learning rate range test.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186. The rate
climbs exponentially over a short run on training batches. The loss falls, levels off and blows up.
The schedule's peak is set a safe factor below the rate at which the loss starts to rise.

Batches differ more than a step changes the loss, above all for a repaired network, whose loss is
low from the start. So each loss is compared with that of the untrained network on the same batch.

A short training cannot repair the damage that a high rate does to a trained network, and the test's
80 steps do not reveal it. The fewer steps the training has, the lower the range ends. Measured on
ResNet-20 at half of its MACs, after 10 steps: 90 % accuracy with a peak of 0.02, 78 % with 0.1.
A long training wins back what a high rate destroys at first, so the loss may rise further there.
Measured on the repaired ResNet-20 at an eighth of its MACs: after 430 steps 90.3 % with a peak of
0.01 and 88.3 % with 0.05; after 1,290 steps 91.1 % with 0.008, 91.3 % with 0.02, 91.6 % with 0.05.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.engine.objectives import OBJECTIVES
from secateur.engine.program.program import Program
from secateur.engine.retrain.augment import Augmentation
from secateur.engine.retrain.data import TrainingData
from secateur.engine.retrain.generators import fork_generators
from secateur.engine.retrain.losses import check_finite
from secateur.engine.retrain.options import OptimizerKind, RetrainOptions
from secateur.engine.retrain.teacher import Teacher
from secateur.engine.retrain.trainer import Lesson, Trainer, make_lesson, resolve_precision
from secateur.engine.samples import read_ahead

NUM_STEPS = 80
_LEAST_STEPS = 20  # with fewer, the rate climbs too steeply to show a trend
_WHOLE_RANGE = 5000  # trainings of this many steps may use the whole range
_LEAST_SHARE = 0.02  # of the highest rate, however few the steps
_RANGES: Mapping[OptimizerKind, tuple[float, float]] = {"sgd": (1e-3, 1.0), "adamw": (1e-5, 0.1)}
_SMOOTHING = 0.9
_BLOWN_UP = 3.0  # times the lowest loss
_RISE = 0.1  # share of the whole fall; above the noise of a smoothed loss
# Rise that is allowed, as a share of the loss before training, in trainings of so many steps.
_LEAST_RISE, _SHORT = 0.05, 430
_MOST_RISE, _LONG = 0.9, 1290
_BACK_OFF = 2.0
_LOWER = 100.0  # the range moves down by this much if even its lowest rate was too high
_MAX_LOWERINGS = 3


@dataclass(frozen=True)
class RangeTest:
    """Result of a range test.

    Attributes:
        learning_rate: Peak learning rate for the schedule.
        curve: (learning rate, smoothed loss) of every step taken.
    """

    learning_rate: float
    curve: tuple[tuple[float, float], ...]


def find_learning_rate(
    program: Program,
    data: TrainingData,
    options: RetrainOptions,
    teacher: Program | None = None,
    masks: Mapping[str, Tensor] | None = None,
) -> RangeTest:
    """Return the peak learning rate for training ``program``, which is not changed.

    The same arguments give the same result. The learning rate in the options is ignored. If even
    the lowest rate blows up the loss (an output that starts many times its own variance away), the
    range moves down and the test runs again, up to three times.

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
    low, high = _RANGES[options.optimizer.kind]
    high *= min(1.0, _BACK_OFF * _share(data, options))
    rise = _allowed_rise(_training_steps(data, options))
    curve = _climb(program, data, options, lesson, masks or {}, (low, high))
    for _ in range(_MAX_LOWERINGS):
        if curve[_edge(curve, rise)][0] / _BACK_OFF >= low:
            break
        low, high = low / _LOWER, high / _LOWER
        curve = _climb(program, data, options, lesson, masks or {}, (low, high))
    return RangeTest(_choose(curve, rise, low, high), tuple(curve))


def _climb(
    program: Program,
    data: TrainingData,
    options: RetrainOptions,
    lesson: Lesson,
    masks: Mapping[str, Tensor],
    rates: tuple[float, float],
) -> list[tuple[float, float]]:
    """Train while the rate climbs; return (rate, smoothed loss) until the loss has blown up."""
    low, high = rates
    precision = resolve_precision(options, program)
    trainer = Trainer(program, options, precision, lesson, masks)
    untrained = Trainer(program, options, precision, lesson, masks)
    for each in (trainer, untrained):
        each.module.train()
    augment = Augmentation(options.augment)
    generator = torch.Generator().manual_seed(options.seed)
    rises: list[tuple[float, float]] = []  # (rate, smoothed rise above the untrained network)
    average = total = level = 0.0
    num_steps = _num_steps(data, options)
    smoothing = _SMOOTHING ** (NUM_STEPS / num_steps)
    with fork_generators(program.device):
        torch.manual_seed(options.seed)
        batches = read_ahead(
            data.source, _chunks(data.train, options.batch_size, num_steps, generator)
        )
        for step, (x, labels) in enumerate(batches):
            rate = low * (high / low) ** (step / (num_steps - 1))
            x = augment(x, generator)  # noqa: PLW2901
            found = trainer.step(x, labels, rate, step)
            reference = untrained.loss(x, labels) if step else found
            loss, before = torch.stack([found, reference]).tolist()
            if step == 0:
                check_finite(loss, step, rate)
            if not math.isfinite(loss):
                break
            total += before
            level = total / (step + 1)
            average = smoothing * average + (1 - smoothing) * (loss - before)
            smoothed = average / (1 - smoothing ** (step + 1))
            rises.append((rate, smoothed))
            least = level + min(rise for _, rise in rises)
            if level + smoothed > _BLOWN_UP * max(0.0, least):
                break
    return [(rate, level + rise) for rate, rise in rises]


def _choose(curve: list[tuple[float, float]], rise: float, low: float, high: float) -> float:
    """Return half of the last rate before the loss rises, in two significant digits."""
    rate = min(high, max(low, curve[_edge(curve, rise)][0] / _BACK_OFF))
    return round(rate, 1 - math.floor(math.log10(rate)))


def _edge(curve: list[tuple[float, float]], rise: float) -> int:
    """Return the index of the last rate before the loss rises by a share of its first value."""
    losses = [loss for _, loss in curve]
    least = min(losses)
    limit = least + max(_RISE * (losses[0] - least), rise * abs(losses[0]))
    edge = losses.index(least)
    while edge + 1 < len(curve) and losses[edge + 1] <= limit:
        edge += 1
    return edge


def _allowed_rise(num_steps: int) -> float:
    """Return the share of the loss before training by which it may rise in the test."""
    place = (num_steps - _SHORT) / (_LONG - _SHORT)
    return _LEAST_RISE + (_MOST_RISE - _LEAST_RISE) * min(1.0, max(0.0, place))


def _training_steps(data: TrainingData, options: RetrainOptions) -> int:
    return len(data.train) // min(options.batch_size, len(data.train)) * options.epochs


def _num_steps(data: TrainingData, options: RetrainOptions) -> int:
    """Return the number of steps of the test: 80, or fewer if the training is shorter."""
    return min(NUM_STEPS, max(_LEAST_STEPS, _training_steps(data, options)))


def _share(data: TrainingData, options: RetrainOptions) -> float:
    """Return the share of the highest rate that is safe for this number of training steps."""
    return min(1.0, max(_LEAST_SHARE, _training_steps(data, options) / _WHOLE_RANGE))


def _chunks(
    train: Tensor, batch_size: int, num_steps: int, generator: torch.Generator
) -> list[Tensor]:
    """Return one batch of indices per step, passing over the samples again if needed."""
    size = min(batch_size, len(train))
    chunks: list[Tensor] = []
    while len(chunks) < num_steps:
        order = train[torch.randperm(len(train), generator=generator)]
        chunks += [chunk for chunk in order.split(size) if len(chunk) == size]
    return chunks[:num_steps]
