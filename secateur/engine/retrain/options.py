"""Options of retraining: plain values that the pipeline builds from the job's spec.

The job's spec has the same defaults. Nothing here runs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from secateur.engine.objectives import ObjectiveOptions
from secateur.engine.retrain.state import EpochRecord, RetrainState

OptimizerKind = Literal["sgd", "adamw"]
ScheduleKind = Literal["one_cycle", "cosine", "constant"]
Decay = Literal["all", "weights"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class OptimizerOptions:
    """The optimiser and its learning rate over time.

    Attributes:
        kind: ``sgd`` uses Nesterov momentum; ``adamw`` ignores ``momentum``.
        learning_rate: Peak of the schedule.
        momentum: Momentum of SGD.
        weight_decay: Weight decay coefficient. Each step subtracts this share of the weight times
            the learning rate.
        warmup: Share of the steps in which the learning rate climbs to its peak, in [0, 1].
        schedule: Shape of the learning rate after the warm-up.
        decay: Parameters that decay: ``all``, as in the original ResNet recipe, or ``weights``,
            those with two or more dimensions.
        clip_norm: Largest norm of the gradient; larger ones are scaled down. None: no limit.
    """

    kind: OptimizerKind = "sgd"
    learning_rate: float = 0.04
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.15
    schedule: ScheduleKind = "one_cycle"
    decay: Decay = "all"
    clip_norm: float | None = None


@dataclass(frozen=True)
class AugmentOptions:
    """Random augmentation of the training images.

    Attributes:
        crop: Pixels of padding on each side before a random crop to the original size.
        flip: Mirror half of the images left to right.
        rotate: Largest rotation of a batch, in degrees.
        scale: Largest zoom of a batch, as a share of its size.
        brightness: Largest change of a batch's brightness, as a share.
        contrast: Largest change of a batch's contrast, as a share.
        erase: Probability that a rectangle of a batch is erased.
        pixel_range: (mean, std) that normalised pixels in [0, 1], one number per channel or one
            for all channels; None if the inputs are not such pixels.
    """

    crop: int = 0
    flip: bool = False
    rotate: float = 0.0
    scale: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0
    pixel_range: tuple[tuple[float, ...], tuple[float, ...]] | None = None


@dataclass(frozen=True)
class RetrainOptions:
    """All options that affect the trained weights, besides program, data and teacher.

    Attributes:
        epochs: Passes over the training samples.
        batch_size: Samples per step; a short last batch is dropped.
        objective: The training objective.
        optimizer: The optimiser and its schedule.
        augment: Augmentation of the training images.
        precision: ``auto`` is bfloat16 on devices with native support, else float32.
        ema: Decay per step of the moving average that is returned instead of the last weights.
            None: no average.
        patience: Stop after this many epochs without a better validation loss. None: never.
        num_settling_samples: Training samples that recalibrate BatchNorm's statistics before an
            epoch is scored or its network returned. 0 uses the running statistics, which lag behind
            if an epoch has few steps.
        is_compiled: Whether torch.compile fuses the forward and backward passes.
        seed: Seed of sample order, augmentation and dropout.
    """

    epochs: int = 3
    batch_size: int = 128
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    precision: Precision = "auto"
    ema: float | None = None
    patience: int | None = None
    num_settling_samples: int = 0
    is_compiled: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Hooks:
    """Callbacks of a training run.

    Attributes:
        on_step: Called after every optimiser step with the step (from 1) and the number of steps.
            An exception ends the training, which is how a cancelled job stops.
        on_epoch: Called with the record of every finished epoch.
        on_restart: Called with the reason when training restarts at a lower learning rate.
        checkpoint: Called after every epoch with a state from which training resumes bit for bit.
        is_save_due: Called after every step; returns whether to call ``checkpoint`` now, in the
            middle of the epoch.
    """

    on_step: Callable[[int, int], None] | None = None
    on_epoch: Callable[[EpochRecord], None] | None = None
    on_restart: Callable[[str], None] | None = None
    checkpoint: Callable[[RetrainState], None] | None = None
    is_save_due: Callable[[], bool] | None = None
