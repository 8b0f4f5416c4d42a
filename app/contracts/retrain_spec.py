"""The training part of the pruning config; `spec` has the rest.

No HTTP, no torch. ``worker.pipeline.job.options`` turns it into the engine's plain options.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# The engine's objectives by name; tests/unit/test_surface.py holds the list equal to its records.
ObjectiveName = Literal["cross_entropy", "distill", "mixed", "mse", "bce"]


class Spec(BaseModel):
    """Base of the specs; it refuses unknown keys, so a typo never becomes a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimizerSpec(Spec):
    """The optimiser and its learning rate over time."""

    kind: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = Field(
        default=None,
        description="The peak of the schedule. None: found by a short range test (Smith 2017, "
        "arXiv:1506.01186), whose curve is in the report.",
    )
    schedule: Literal["one_cycle", "cosine", "constant"] = Field(
        default="one_cycle",
        description="one_cycle: climb by a cosine and descend by one (arXiv:1708.07120). cosine: "
        "climb by a line and descend by a cosine (arXiv:1608.03983). constant: climb and stay.",
    )
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.15, description="Share of the steps in which the learning rate rises."
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4
    decay: Literal["all", "weights"] = Field(
        default="all",
        description="Which parameters decay. weights: only those with two dimensions or more, so "
        "neither biases nor the scales of normalisation.",
    )
    clip_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Largest norm of the gradient; larger gradients are scaled down."
    )


class AugmentSpec(Spec):
    """Random changes of the training images, one draw an image unless said otherwise."""

    crop: Annotated[int, Field(ge=0, le=64)] = Field(
        default=0, description="Pad by this many pixels and crop back at a random offset."
    )
    flip: bool = Field(default=False, description="Mirror half of the images left to right.")
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(
        default=0.0, description="Turn by up to this many degrees; one draw a batch."
    )
    scale: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Zoom by up to this share, in or out; one draw a batch."
    )
    brightness: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Change brightness by up to this share; byte images only."
    )
    contrast: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Change contrast by up to this share; byte images only."
    )
    erase: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="The probability that a random rectangle is blanked (arXiv:1708.04896); "
        "one draw a batch.",
    )


class DistillSpec(Spec):
    """Distillation from the dense network, the teacher (Hinton et al. 2015, arXiv:1503.02531)."""

    weight: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.5,
        description="Weight of the teacher in the objective `mixed`; the labels get the rest.",
    )
    temperature: Annotated[float, Field(gt=0, le=100)] = Field(
        default=2.0, description="Divisor of the class scores before they are compared."
    )
    features: Annotated[float, Field(ge=0, le=1000)] = Field(
        default=0.0,
        description="Weight of comparing attention maps inside the network as well, at the last "
        "layer of every image size (arXiv:1612.03928). 0: outputs only.",
    )


class RetrainSpec(Spec):
    """Training after pruning (claims 6 to 8)."""

    objective: Literal["auto", ObjectiveName] = Field(
        default="auto",
        description="cross_entropy: one class a sample. mse: numbers. bce: any number of classes a "
        "sample. distill: what the dense network answers; needs no labels, and any outputs will "
        "do. mixed: cross_entropy and distill. auto: by the labels: mixed for classes, bce, mse, "
        "and distill where there are none.",
    )
    distill: DistillSpec = DistillSpec()
    mode: Literal["compact", "masked"] = Field(
        default="compact",
        description="compact trains the smaller network; masked trains the full-size twin whose "
        "removed weights stay zero, then compacts it. Both compute the same.",
    )
    epochs: Annotated[int, Field(ge=0, le=1000)] | Literal["auto"] = Field(
        default="auto",
        description="Passes over the training samples; 0: none. auto: about 600 steps, at most 30 "
        "epochs, 3 where those are at most 4000 steps, at least 1; and no more than fit into 60 "
        "percent of the job's time limit. "
        "Whatever the number, the network that is best on the validation samples is kept.",
    )
    batch_size: Annotated[int, Field(ge=1, le=8192)] = 128
    optimizer: OptimizerSpec = OptimizerSpec()
    augment: AugmentSpec = AugmentSpec()
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Keep an exponential moving average of the weights with this decay a step, and "
        "return it.",
    )
    patience: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Stop when the validation loss has not improved for this many epochs. The "
        "best network is kept with or without it.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["never", "always"] = Field(
        default="never", description="Whether torch.compile fuses the network's kernels."
    )
