"""The training part of the pruning config; `spec` has the rest.

No HTTP, no torch. ``worker.pipeline.job.options`` translates it into the engine's options.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Names of the engine's objectives; tests/unit/test_surface.py compares the list.
ObjectiveName = Literal[
    "cross_entropy",
    "distill",
    "mixed",
    "mse",
    "bce",
    "dice",
    "ctc",
    "distill_sure",
    "distill_cosine",
]


class Spec(BaseModel):
    """Base of the specs; refuses unknown keys, so that a typo never means the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimizerSpec(Spec):
    """Optimiser and learning-rate schedule."""

    kind: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = Field(
        default=None,
        description="Peak of the schedule. None: found by a short range test (Smith 2017, "
        "arXiv:1506.01186), whose curve is in the report.",
    )
    schedule: Literal["one_cycle", "cosine", "constant"] = Field(
        default="one_cycle",
        description="one_cycle: cosine rise, cosine decay (arXiv:1708.07120). cosine: linear "
        "rise, cosine decay (arXiv:1608.03983). constant: linear rise, then constant.",
    )
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.15, description="Share of the steps during which the learning rate rises."
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4
    decay: Literal["all", "weights"] = Field(
        default="all",
        description="Parameters that decay. weights: only those with two or more dimensions, so "
        "neither biases nor normalisation scales.",
    )
    clip_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Largest norm of the gradient; larger gradients are scaled down."
    )


class AugmentSpec(Spec):
    """Random augmentation of the training images, drawn per image unless noted otherwise."""

    crop: Annotated[int, Field(ge=0, le=64)] = Field(
        default=0, description="Pad by this many pixels, then crop back at a random offset."
    )
    flip: bool = Field(default=False, description="Mirror half of the images left to right.")
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(
        default=0.0, description="Rotate by up to this many degrees; drawn per batch."
    )
    scale: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Zoom in or out by up to this share; drawn per batch."
    )
    brightness: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Change brightness by up to this share; byte images only."
    )
    contrast: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Change contrast by up to this share; byte images only."
    )
    erase: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Probability of blanking a random rectangle (arXiv:1708.04896); drawn per "
        "batch.",
    )


class DistillSpec(Spec):
    """Distillation from the dense network as teacher (Hinton et al. 2015, arXiv:1503.02531)."""

    weight: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.5,
        description="Weight of the teacher in the objective `mixed`; the labels get the rest.",
    )
    temperature: Annotated[float, Field(gt=0, le=100)] = Field(
        default=2.0, description="Divisor of the class scores before they are compared."
    )
    features: Annotated[float, Field(ge=0, le=1000)] = Field(
        default=0.0,
        description="Weight of the loss between attention maps, taken at the last layer of each "
        "image size (arXiv:1612.03928). 0: compare outputs only.",
    )


class RetrainSpec(Spec):
    """Training after pruning (claims 6 to 8)."""

    objective: Literal["auto", ObjectiveName] = Field(
        default="auto",
        description="cross_entropy: one class per sample. mse: numbers. bce: any number of "
        "classes per sample. distill: the dense network's outputs; works without "
        "labels and with any kind of output. distill_sure: the same, most where the dense "
        "network is sure, for detectors. distill_cosine: the directions of its vectors, for "
        "embeddings. mixed: cross_entropy and distill. dice: masks. ctc: "
        "texts. auto: chosen by the labels: mixed for classes, bce for several classes per "
        "sample, mse for numbers, dice for masks, ctc for texts, distill_sure for boxes and "
        "keypoints, distill_cosine for identities, distill without labels.",
    )
    distill: DistillSpec = DistillSpec()
    mode: Literal["compact", "masked"] = Field(
        default="compact",
        description="compact trains the smaller network. masked trains the full-size twin, whose "
        "removed weights stay zero, and compacts it afterwards. Both compute the "
        "same.",
    )
    epochs: Annotated[int, Field(ge=0, le=1000)] | Literal["auto"] = Field(
        default="auto",
        description="Passes over the training samples; 0: no training. auto: about 600 steps, at "
        "most 30 epochs; 3 epochs where 600 steps would be fewer, within 4000 steps; at least 1 "
        "epoch. Never more than fit into 60 percent of the job's time limit. The network that is "
        "best on the validation samples is kept in any case.",
    )
    batch_size: Annotated[int, Field(ge=1, le=8192)] = 128
    optimizer: OptimizerSpec = OptimizerSpec()
    augment: AugmentSpec = AugmentSpec()
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Decay per step of an exponential moving average of the weights, which is "
        "then returned.",
    )
    patience: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Stop after this many epochs without a lower validation loss. The best "
        "network is kept either way.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["never", "always"] = Field(
        default="never", description="Compile the network with torch.compile, which fuses kernels."
    )
