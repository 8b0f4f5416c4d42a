"""How a network is retrained: plain values, built by the pipeline from the job's spec.

No defaults of the service live here that the spec does not also have; nothing here runs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from worker.engine.retrain.state import EpochRecord, RetrainState

OptimizerKind = Literal["sgd", "adamw"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class OptimizerOptions:
    """The optimiser and the peak of its one-cycle schedule.

    Attributes:
        kind: ``sgd`` is Nesterov's; ``adamw`` ignores ``momentum``.
        learning_rate: The peak of the schedule.
        momentum: Of SGD.
        weight_decay: Applied to every parameter, as in the original ResNet recipe.
        warmup: Share of the steps in which the learning rate climbs to its peak.
    """

    kind: OptimizerKind = "sgd"
    learning_rate: float = 0.04
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.15


@dataclass(frozen=True)
class AugmentOptions:
    """Random changes of the training images.

    Attributes:
        crop: Pixels by which an image is extended on each side before it is cropped back.
        flip: Mirror half of the images left to right.
    """

    crop: int = 0
    flip: bool = False


@dataclass(frozen=True)
class RetrainOptions:
    """Everything that decides what the trained weights are, besides program and data."""

    epochs: int = 3
    batch_size: int = 128
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    label_smoothing: float = 0.0
    precision: Precision = "auto"
    seed: int = 0


@dataclass(frozen=True)
class Hooks:
    """What the caller wants to be told while training goes on.

    Attributes:
        on_step: Called after every optimiser step with the step (from 1) and the number of steps;
            an exception it raises ends the training, which is how a cancelled job stops.
        on_epoch: Called with the record of every finished epoch.
        checkpoint: Called after every epoch with a state from which training resumes bit for bit.
    """

    on_step: Callable[[int, int], None] | None = None
    on_epoch: Callable[[EpochRecord], None] | None = None
    checkpoint: Callable[[RetrainState], None] | None = None
