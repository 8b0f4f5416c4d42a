"""How a network is retrained: plain values, built by the pipeline from the job's spec.

No defaults of the service live here that the spec does not also have; nothing here runs.
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
        kind: ``sgd`` is Nesterov's; ``adamw`` ignores ``momentum``.
        learning_rate: The peak of the schedule.
        momentum: Of SGD.
        weight_decay: Per step, as a share of the weight times the learning rate.
        warmup: Share of the steps in which the learning rate climbs to its peak.
        schedule: What it does afterwards.
        decay: ``all`` parameters, as in the original ResNet recipe, or ``weights`` alone: those of
            two dimensions or more.
        clip_norm: The norm that a gradient is scaled down to, or None.
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
    """Random changes of the training images.

    Attributes:
        crop: Pixels by which an image is extended on each side before it is cropped back.
        flip: Mirror half of the images left to right.
        rotate: Degrees by which a batch is turned at most.
        scale: Share by which a batch is zoomed at most.
        brightness: Share by which a batch gets brighter or darker at most.
        contrast: The same of its contrast.
        erase: Probability that a rectangle of a batch is blanked.
        pixel_range: (mean, std) by which pixels in [0, 1] were normalised, a number a channel or
            one for all; None when the inputs are no such pixels.
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
    """Everything that decides what the trained weights are, besides program, data and teacher.

    Attributes:
        epochs: Passes over the training samples.
        batch_size: Samples a step; a short last batch is dropped.
        objective: What for.
        optimizer: By what steps.
        augment: With what random changes of the inputs.
        precision: ``auto``: bfloat16 where the device multiplies it itself, else float32.
        ema: Decay a step of the moving average that is returned instead of the last weights.
        patience: Epochs without a better validation loss after which training stops.
        num_settling_samples: Training samples on which BatchNorm's statistics are measured anew
            before an epoch is scored, and for what is returned; 0: the running ones do. They lag
            behind where an epoch has few steps.
        is_compiled: Whether torch.compile fuses the forward and backward passes.
        seed: Of order, augmentation and dropout.
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
    """What the caller wants to be told while training goes on.

    Attributes:
        on_step: Called after every optimiser step with the step (from 1) and the number of steps;
            an exception it raises ends the training, which is how a cancelled job stops.
        on_epoch: Called with the record of every finished epoch.
        on_restart: Called with the reason when training starts over at a lower learning rate.
        checkpoint: Called after every epoch with a state from which training resumes bit for bit.
        is_save_due: Asked after every step whether ``checkpoint`` shall be called in the middle of
            the epoch too.
    """

    on_step: Callable[[int, int], None] | None = None
    on_epoch: Callable[[EpochRecord], None] | None = None
    on_restart: Callable[[str], None] | None = None
    checkpoint: Callable[[RetrainState], None] | None = None
    is_save_due: Callable[[], bool] | None = None
