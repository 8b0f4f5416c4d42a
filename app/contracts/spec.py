"""The pruning config: what the API accepts is what the worker does, because it is this one module.

No HTTP, no torch. The API validates request bodies with it, the pipeline builds the engine's plain
options from it, and its JSON Schema is served at ``/v1/schemas/config``.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(gt=0, lt=1)]
Glob = Annotated[str, Field(min_length=1, max_length=200)]


class _Spec(BaseModel):
    """Unknown keys are refused, so a typo never becomes a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# Criteria that look at samples.
NEED_DATA = frozenset({"loss", "taylor"})


class CriterionSpec(_Spec):
    """How the saliency of a filter is measured (claims 1, 4 and 5 of CN113361702A)."""

    kind: Literal[
        "l1", "l2", "loss", "taylor", "bn_scale", "geometric_median", "lamp", "random"
    ] = Field(
        default="l1",
        description="l1, l2: norm of the filter's weights (Li et al. 2017, arXiv:1608.08710). "
        "loss: the exact change of the loss without the filter. taylor: its first-order estimate "
        "(arXiv:1906.10771). bn_scale: BatchNorm's scale (arXiv:1708.06519). geometric_median: "
        "distance to the other filters (arXiv:1811.00250). lamp: share of the layer's norm "
        "(arXiv:2010.07611). random: the baseline.",
    )
    reduction: Literal["sum", "mean", "max"] = Field(
        default="sum", description="How the slices of one channel group make one score."
    )
    normalization: Literal["auto", "none", "mean", "max"] = Field(
        default="auto",
        description="How scores are made comparable between layers; auto: by the layer's mean "
        "for norms, not at all for the loss.",
    )
    num_samples: Annotated[int, Field(ge=1, le=65_536)] = Field(
        default=256, description="Calibration samples for criteria that look at data."
    )
    compare: bool = Field(
        default=False,
        description="Also measure the exact loss of removing each filter, and report the rank "
        "correlation (Spearman's rho) of every criterion with it. Needs data.",
    )


class LayerOverride(_Spec):
    """What one layer does differently; the key in ``layers`` is a glob on parameter names."""

    ratio: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, description="Prune exactly this share of the layer's filters."
    )
    max_ratio: Annotated[float, Field(ge=0, lt=1)] | None = None
    min_channels: Annotated[int, Field(ge=1)] | None = None


class _SelectionSpec(_Spec):
    max_ratio: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.9, description="No layer loses more than this share of its filters."
    )
    min_channels: Annotated[int, Field(ge=1)] = Field(
        default=4, description="No layer is left with fewer channels (or what it has, if less)."
    )
    round_to: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        default=8,
        description="Kept widths are multiples of this: kernels compute in blocks of 8 or 16, "
        "and a width of 11 is slower than one of 16. auto: measure each layer's latency at "
        "several widths on the worker, and keep only widths that are worth having.",
    )
    exclude: tuple[Glob, ...] = Field(
        default=(), description="Globs on parameter names whose layers keep every filter."
    )
    layers: dict[Glob, LayerOverride] = Field(default_factory=dict, max_length=1000)


class SteepnessSelection(_SelectionSpec):
    """Cut each layer's sorted saliency curve where it turns steep (claim 3)."""

    mode: Literal["steepness"] = "steepness"
    steepness: Annotated[float, Field(gt=0, le=100)] = Field(
        default=1.0,
        description="Slope, with both axes scaled to [0, 1], at which the curve counts as steep; "
        "larger prunes more.",
    )


class RatioSelection(_SelectionSpec):
    """Prune a fixed share of the filters, in every layer or over the whole network."""

    mode: Literal["ratio"]
    ratio: Share = Field(description="The share of filters to remove.")
    scope: Literal["layer", "global"] = "layer"


class BudgetSelection(_SelectionSpec):
    """Prune the least salient filters until a share of the cost is left."""

    mode: Literal["budget"]
    macs: Share | None = Field(default=None, description="Share of multiply-accumulates to keep.")
    params: Share | None = Field(default=None, description="Share of parameters to keep.")
    latency: Share | None = Field(
        default=None,
        description="Share of the dense network's latency, measured with ONNX Runtime on the "
        "worker. Best with round_to auto.",
    )
    batch_size: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1, description="Samples in a call, for latency."
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if sum(share is not None for share in (self.macs, self.params, self.latency)) != 1:
            raise ValueError("a budget names exactly one of 'macs', 'params' and 'latency'")
        return self


SelectionSpec = Annotated[
    SteepnessSelection | RatioSelection | BudgetSelection, Field(discriminator="mode")
]


class OneShotSchedule(_Spec):
    """Prune once, then retrain."""

    kind: Literal["one_shot"] = "one_shot"


class OptimizerSpec(_Spec):
    """The optimiser and its one-cycle schedule (Smith and Topin 2018, arXiv:1708.07120)."""

    kind: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = Field(
        default=0.04, description="The peak of the one-cycle schedule."
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4


class AugmentSpec(_Spec):
    """Random changes of the training images."""

    crop: Annotated[int, Field(ge=0, le=64)] = Field(
        default=0, description="Pad by this many pixels and crop back at a random offset."
    )
    flip: bool = Field(default=False, description="Mirror half of the images left to right.")


class RetrainSpec(_Spec):
    """Training after pruning (claims 6 to 8)."""

    objective: Literal["cross_entropy"] = "cross_entropy"
    mode: Literal["compact", "masked"] = Field(
        default="compact",
        description="compact trains the smaller network; masked trains the full-size twin whose "
        "removed weights stay zero, then compacts it. Both compute the same.",
    )
    epochs: Annotated[int, Field(ge=0, le=1000)] = 3
    batch_size: Annotated[int, Field(ge=1, le=8192)] = 128
    optimizer: OptimizerSpec = OptimizerSpec()
    augment: AugmentSpec = AugmentSpec()
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


class ExportSpec(_Spec):
    """Which files are made besides the plan, the report and the manifest."""

    formats: tuple[Literal["pt2", "onnx", "safetensors"], ...] = ("pt2", "onnx", "safetensors")

    @model_validator(mode="after")
    def _served(self) -> Self:
        if "onnx" not in self.formats:
            raise ValueError("formats must contain 'onnx': it is what the service serves")
        return self


class PruneConfig(_Spec):
    """Everything a job may say about how to prune. Every key is optional."""

    criterion: CriterionSpec = CriterionSpec()
    selection: SelectionSpec = SteepnessSelection()
    schedule: OneShotSchedule = OneShotSchedule()
    retrain: RetrainSpec = RetrainSpec()
    export: ExportSpec = ExportSpec()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="before")
    @classmethod
    def _default_mode(cls, data: object) -> object:
        """Let ``{"selection": {"max_ratio": 0.5}}`` mean the default mode."""
        if isinstance(data, dict) and isinstance(data.get("selection"), dict):
            selection = data["selection"]
            if "mode" not in selection:
                return {**data, "selection": {"mode": "steepness", **selection}}
        return data


class ArchitectureSpec(_Spec):
    """What a ``.safetensors`` file is the weights of."""

    name: Annotated[str, Field(pattern=r"^(torchvision|timm)/[A-Za-z0-9_.]{1,100}$")] = Field(
        description="torchvision/NAME or timm/NAME, from the library's own list."
    )
    num_classes: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="None: the library's default."
    )
    in_channels: Annotated[int, Field(ge=1, le=1024)] = 3
    image_size: Annotated[int, Field(ge=8, le=4096)] = Field(
        default=224, description="Side of the square images, in pixels."
    )


class PreprocessSpec(_Spec):
    """How raw pixels become the network's input: ``x = (pixel * scale - mean) / std``.

    Belongs to a data set, is stored with the models made from it, and is what ``/infer`` applies to
    an image file.
    """

    resize: Annotated[tuple[int, int], Field(description="Height and width in pixels.")] | None = (
        None
    )
    channels: Literal["grey", "rgb"] | None = Field(
        default=None, description="None: as many as the network takes."
    )
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="None: 1/255 for bytes and image files, 1 for floats."
    )
    mean: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = (1.0,)

    @model_validator(mode="after")
    def _shapes(self) -> Self:
        if len(self.mean) != len(self.std) or len(self.mean) not in {1, 3}:
            raise ValueError("mean and std take one number each, or three each")
        if self.resize is not None and not all(1 <= side <= 4096 for side in self.resize):  # noqa: PLR2004
            raise ValueError("resize takes sides of 1 to 4096 pixels")
        return self
