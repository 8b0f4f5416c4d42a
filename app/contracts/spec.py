"""The pruning config, shared by the API and the worker.

No HTTP, no torch. The API validates request bodies with it, the pipeline translates it into the
engine's options, and its JSON Schema is served at ``/v1/schemas/config``.
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from app.contracts.placement import Fit
from app.contracts.precision_spec import PrecisionSpec
from app.contracts.repair_spec import RepairSpec
from app.contracts.resources_spec import ResourcesSpec
from app.contracts.retrain_spec import RetrainSpec, Spec
from app.contracts.sanity_spec import ExpectedSpec, SanitySpec
from app.contracts.targets import NEWEST_OPSET, OLDEST_OPSET, READS_PT2, TargetName
from app.contracts.task_spec import HeadSpec
from secateur.core.tasks import TaskName

Share = Annotated[float, Field(gt=0, lt=1)]
Glob = Annotated[str, Field(min_length=1, max_length=200)]


# Names of the engine's criteria; tests/unit/test_surface.py compares these lists.
CriterionName = Literal[
    "l1",
    "l2",
    "loss",
    "taylor",
    "jacobian",
    "reconstruction",
    "bn_scale",
    "geometric_median",
    "lamp",
    "random",
]
CandidateName = Literal[
    "l1", "l2", "taylor", "jacobian", "reconstruction", "bn_scale", "geometric_median", "lamp"
]
NEED_DATA = frozenset({"loss", "taylor", "jacobian", "reconstruction", "auto"})
# Names of the engine's export formats, and of those whose file holds the whole network.
ExportName = Literal["pt2", "onnx", "safetensors"]
HOLD_NETWORK = frozenset({"pt2", "onnx"})


class CriterionSpec(Spec):
    """Measure of a filter's saliency (claims 1, 4 and 5 of CN113361702A)."""

    kind: Literal[CriterionName, "auto"] = Field(
        default="l1",
        description="l1, l2: norm of the filter's weights (Li et al. 2017, arXiv:1608.08710). "
        "loss: the exact change of the loss without the filter. taylor: its first-order estimate "
        "(arXiv:1906.10771). jacobian: the squared change of the outputs (arXiv:2508.05521). "
        "reconstruction: what repair cannot restore without the filter (after arXiv:1707.06168). "
        "bn_scale: BatchNorm's scale (arXiv:1708.06519). geometric_median: "
        "distance to the other filters (arXiv:1811.00250). lamp: share of the layer's norm "
        "(arXiv:2010.07611). random: the baseline. auto: prune once with each of `candidates`, "
        "repair the network, and keep the one with the least loss on the validation split.",
    )
    candidates: tuple[CandidateName, ...] = Field(
        default=get_args(CandidateName),
        min_length=1,
        max_length=len(get_args(CandidateName)),
        description="Criteria compared by `auto`. `taylor` is skipped without labels.",
    )
    reduction: Literal["sum", "mean", "max"] = Field(
        default="sum", description="Combination of the scores of a channel group's slices."
    )
    normalization: Literal["auto", "none", "mean", "max"] = Field(
        default="auto",
        description="Normalisation that makes scores comparable between layers; auto: by the "
        "layer's mean for norms, none for the loss.",
    )
    num_samples: Annotated[int, Field(ge=1, le=65_536)] = Field(
        default=256, description="Calibration samples for criteria that need data."
    )
    compare: bool = Field(
        default=False,
        description="Also measure the exact loss of removing each filter, and report the rank "
        "correlation (Spearman's rho) of every criterion with it. Needs data.",
    )


class LayerOverride(Spec):
    """Limits for the layers that match a key in ``layers``, a glob on parameter names."""

    ratio: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, description="Prune exactly this share of the layer's filters."
    )
    max_ratio: Annotated[float, Field(ge=0, lt=1)] | None = None
    min_channels: Annotated[int, Field(ge=1)] | None = None


class _SelectionSpec(Spec):
    max_ratio: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.9, description="Largest share of its filters that a layer may lose."
    )
    min_channels: Annotated[int, Field(ge=1)] = Field(
        default=4, description="Fewest channels that a layer keeps; narrower layers are not pruned."
    )
    round_to: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        default=8,
        description="Round kept widths to multiples of this: kernels compute in blocks of 8 or "
        "16, so a width of 11 is slower than one of 16. auto: measure each layer's "
        "latency at several widths on the worker, and use only the efficient ones.",
    )
    target: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None,
        description="Id or name of uploaded latencies: widths are chosen for the device that "
        "measured them, by round_to auto or a budget of latency. None: for the worker.",
    )
    precision: Literal["fp32", "int8"] = Field(
        default="fp32",
        description="Precision in which latencies count, for round_to auto and a budget of "
        "latency. int8: of the quantised network, as a share of the dense fp32 network's.",
    )
    exclude: tuple[Glob, ...] = Field(
        default=(),
        max_length=1000,
        description="Globs on parameter names of layers that keep every filter.",
    )
    norms: Literal["fused", "exact"] = Field(
        default="fused",
        description="LayerNorm, RMSNorm and GroupNorm over removed channels. fused: they normalise "
        "the channels that are left, which is faster and inexact. exact: they go on counting the "
        "removed ones as zeros, so the certificate covers them.",
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
    """Prune a fixed share of the filters, in every layer or across the network."""

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
        "worker. Works best with round_to auto.",
    )
    batch_size: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1, description="Batch size of the latency measurement."
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if sum(share is not None for share in (self.macs, self.params, self.latency)) != 1:
            raise ValueError("a budget names exactly one of 'macs', 'params' and 'latency'")
        return self


class AccuracySelection(_SelectionSpec):
    """Search for the smallest network within a drop of the metric."""

    mode: Literal["accuracy"]
    max_drop: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.01,
        description="Largest drop of the validation metric below the dense network's: 0.01 is one "
        "percentage point of accuracy. Without labels, at least 1 - max_drop of the predictions "
        "must agree with the dense network's. The network that is the result keeps it: after "
        "retraining, or repaired with retrain.epochs 0.",
    )
    unit: Literal["macs", "params"] = Field(
        default="macs", description="Cost that the search minimises."
    )
    max_trials: Annotated[int, Field(ge=1, le=32)] = Field(
        default=5,
        description="Budgets that are tried. Repaired networks are measured, and the chosen one is "
        "trained; if it does not keep max_drop, wider ones. With an iterative schedule, or without "
        "repair, every trial is trained.",
    )


SelectionSpec = Annotated[
    SteepnessSelection | RatioSelection | BudgetSelection | AccuracySelection,
    Field(discriminator="mode"),
]


class OneShotSchedule(Spec):
    """Prune once, then retrain."""

    kind: Literal["one_shot"] = "one_shot"


class IterativeSchedule(Spec):
    """Prune a little, retrain, prune again (Zhu and Gupta 2017, arXiv:1710.01878: a cubic ramp)."""

    kind: Literal["iterative"]
    rounds: Annotated[int, Field(ge=2, le=100)] = Field(
        default=4, description="Number of cuts; the first is made before training."
    )
    ramp: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.4, description="Share of the retraining steps after which the last cut is made."
    )


ScheduleSpec = Annotated[OneShotSchedule | IterativeSchedule, Field(discriminator="kind")]


class ExportSpec(Spec):
    """Files to export in addition to the plan, the report and the manifest."""

    formats: tuple[ExportName, ...] = Field(
        default=get_args(ExportName), max_length=len(get_args(ExportName))
    )
    targets: tuple[TargetName, ...] = Field(
        default=(),
        max_length=len(get_args(TargetName)),
        description="Runtimes and devices to write files for, each with a script that has the "
        "preprocessing. onnx: ONNX Runtime. openvino, ncnn, executorch, litert: built, compared "
        "with torch and timed; each needs the extra of its name on the worker. tensorrt, rknn, "
        "hailo, coreml: a build script for their own tools.",
    )
    opset: Annotated[int, Field(ge=OLDEST_OPSET, le=NEWEST_OPSET)] | None = Field(
        default=None,
        description="Also write the network as ONNX at this opset, for readers of older or newer "
        "files than model.onnx. The file is compared with torch.",
    )

    @model_validator(mode="after")
    def _some_network(self) -> Self:
        if not HOLD_NETWORK & set(self.formats):
            raise ValueError("formats must contain 'pt2' or 'onnx': both hold the whole network")
        if len(set(self.targets)) < len(self.targets):
            raise ValueError("targets names a target twice")
        if (self.targets or self.opset) and "onnx" not in self.formats:
            raise ValueError("formats must contain 'onnx': targets are made from that file")
        for name in READS_PT2 & set(self.targets):
            if "pt2" not in self.formats:
                raise ValueError(f"formats must contain 'pt2': target {name!r} is made from it")
        return self


class SplitSpec(Spec):
    """Random split of the samples, for data sets without splits; it has its own seed."""

    validation: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    test: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _some_train(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test leave no sample for training")
        return self


class PruneConfig(Spec):
    """Config of a pruning job. Every key is optional."""

    criterion: CriterionSpec = CriterionSpec()
    selection: SelectionSpec = SteepnessSelection()
    schedule: ScheduleSpec = OneShotSchedule()
    repair: RepairSpec = RepairSpec()
    retrain: RetrainSpec = RetrainSpec()
    split: SplitSpec = SplitSpec()
    task: Literal["auto"] | TaskName = Field(
        default="auto",
        description="What the network is for: it decides metrics, loss and the answers of /infer. "
        "classification, regression, segmentation, text_recognition, detection. custom: compare "
        "outputs with the dense network's only, whatever the labels. auto: by the labels, or by "
        "the shapes of the outputs without labels.",
    )
    head: HeadSpec = HeadSpec()
    baselines: bool = Field(
        default=False,
        description="Also retrain, with the same budget, a network pruned at random to the same "
        "widths, and the pruned network from scratch; the report shows both.",
    )
    expected: ExpectedSpec = Field(
        default=ExpectedSpec(),
        description="Known metrics of the dense network on such data. The job stops if the dense "
        "network is significantly worse, as the preprocessing or the labels are then "
        "probably wrong.",
    )
    sanity: SanitySpec = SanitySpec()
    export: ExportSpec = ExportSpec()
    precision: PrecisionSpec = PrecisionSpec()
    resources: ResourcesSpec = ResourcesSpec()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if isinstance(self.schedule, IterativeSchedule):
            if self.retrain.epochs == 0:
                raise ValueError("an iterative schedule retrains: retrain.epochs must be 1 or more")
            is_ramped = isinstance(self.selection, (RatioSelection, AccuracySelection)) or (
                isinstance(self.selection, BudgetSelection) and self.selection.latency is None
            )
            if not is_ramped or self.selection.round_to == "auto":
                raise ValueError(
                    "an iterative schedule ramps a 'ratio' or a 'budget' of macs or params, with a "
                    "number for round_to"
                )
        selection = self.selection
        if not chooses_by_latency(self):
            for name, value in (("target", selection.target), ("precision", selection.precision)):
                if value not in {None, "fp32"}:
                    raise ValueError(
                        f"selection.{name} {value!r} is about latencies, and none counts here: add "
                        "round_to auto, or give a budget of latency"
                    )
        is_int8 = selection.precision == "int8" and selection.target is None
        if is_int8 and self.precision.kind != "int8":
            raise ValueError(
                "selection.precision 'int8' chooses widths for an int8 file: ask for one with "
                "precision.kind 'int8', or name the device that has one in selection.target"
            )
        if isinstance(self.selection, AccuracySelection) and self.selection.round_to == "auto":
            raise ValueError("selection mode 'accuracy' takes a number for round_to")
        if self.precision.kind == "int8" and "onnx" not in self.export.formats:
            raise ValueError(
                "precision.kind 'int8' is written from the ONNX file: export.formats must contain "
                "'onnx'"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _default_mode(cls, data: object) -> object:
        """Let ``{"selection": {"max_ratio": 0.5}}`` mean the default mode."""
        if isinstance(data, dict) and isinstance(data.get("selection"), dict):
            selection = data["selection"]
            if "mode" not in selection:
                data = {**data, "selection": {"mode": "steepness", **selection}}
        if isinstance(data, dict) and isinstance(data.get("schedule"), dict):
            schedule = data["schedule"]
            if "kind" not in schedule:
                data = {**data, "schedule": {"kind": "one_shot", **schedule}}
        return data


def part_that_needs_data(config: PruneConfig) -> tuple[str, str] | None:
    """Return the JSON pointer and value of a part of the config that needs samples, or None."""
    criterion = config.criterion
    needing = {
        ("/criterion/kind", criterion.kind): criterion.kind in NEED_DATA,
        ("/criterion/compare", "true"): criterion.compare,
        ("/selection/mode", config.selection.mode): isinstance(config.selection, AccuracySelection),
        ("/schedule/kind", config.schedule.kind): isinstance(config.schedule, IterativeSchedule),
        ("/repair/kind", config.repair.kind): config.repair.kind == "reconstruct",
        ("/precision/kind", config.precision.kind): config.precision.kind == "int8",
    }
    for name, value in config.expected.values.items():
        needing[f"/expected/{name}", f"{value:g}"] = True
    return next((part for part, needs in needing.items() if needs), None)


def chooses_by_latency(config: PruneConfig) -> bool:
    """Return whether widths are chosen by the latencies of layers."""
    selection = config.selection
    is_latency = isinstance(selection, BudgetSelection) and selection.latency is not None
    return is_latency or selection.round_to == "auto"


def measures_onnx(config: PruneConfig) -> bool:
    """Return whether widths are chosen by the latencies of ONNX files on the worker."""
    return chooses_by_latency(config) and config.selection.target is None


class ArchitectureSpec(Spec):
    """Architecture for the weights in a ``.safetensors`` file."""

    name: Annotated[str, Field(pattern=r"^(torchvision|timm)/[A-Za-z0-9_.]{1,100}$")] = Field(
        description="torchvision/NAME or timm/NAME."
    )
    num_classes: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="None: the library's default."
    )
    in_channels: Annotated[int, Field(ge=1, le=1024)] = 3
    image_size: Annotated[int, Field(ge=8, le=4096)] = Field(
        default=224, description="Side of the square images, in pixels."
    )


Preset = Literal["imagenet", "unit", "symmetric", "from-data"]
# (mean, std) of pixels from 0 to 1; None: computed from the data.
_PRESETS: dict[str, tuple[tuple[float, ...], tuple[float, ...]] | None] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": ((0.0,), (1.0,)),
    "symmetric": ((0.5,), (0.5,)),
    "from-data": None,
}
_MOST_CHANNELS = 64
_NO_PREPROCESS = "no preprocessing was given; pixels are scaled to [0, 1]"
NO_PREPROCESS = (
    f"{_NO_PREPROCESS}. If the network was trained with "
    "other inputs (torchvision's and timm's: preset imagenet), every number of it here is wrong"
)
NO_PREPROCESS_BUT_RIGHT = (
    f"{_NO_PREPROCESS}. The dense network's score on these samples shows that this is right"
)


class PreprocessSpec(Spec):
    """How raw pixels become the network's input: ``x = (pixel * scale - mean) / std``.

    It belongs to a data set and is stored with the models pruned on it; ``/infer`` applies it to
    image files.
    """

    preset: Preset | None = Field(
        default=None,
        description="imagenet: mean and std used to train torchvision's and timm's networks. "
        "unit: inputs from 0 to 1. symmetric: from -1 to 1. from-data: mean and std "
        "of the training samples. None: as given by scale, mean and std.",
    )
    resize: Annotated[tuple[int, int], Field(description="Height and width in pixels.")] | None = (
        None
    )
    fit: Fit | None = Field(
        default=None,
        description="How images get the network's size. stretch: by scaling both sides. letterbox: "
        "by keeping the ratio of the sides, in the middle of grey (114). pad: the same, at the top "
        "left. None: letterbox for data with boxes, otherwise stretch.",
    )
    channels: Literal["grey", "rgb"] | None = Field(
        default=None, description="None: as the network requires."
    )
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="None: 1/255 for bytes and image files, 1 for floats."
    )
    mean: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = (1.0,)

    @property
    def is_given(self) -> bool:
        """Whether the values are set; if not, the report warns the user."""
        values = self.preset, self.scale, self.mean, self.std
        return values != (None, None, (0.0,), (1.0,))

    @property
    def waits_for_data(self) -> bool:
        """Whether mean and std must still be computed from the data."""
        return self.preset == "from-data" and (self.mean, self.std) == ((0.0,), (1.0,))

    @model_validator(mode="before")
    @classmethod
    def _preset_values(cls, data: object) -> object:
        """Fill in the values of a preset, except in stored specs, which have the numbers."""
        if not isinstance(data, dict):
            return data
        values = _PRESETS.get(str(data.get("preset")))
        if values is None or "mean" in data or "std" in data:
            return data
        return {**data, "mean": values[0], "std": values[1]}

    @model_validator(mode="after")
    def _shapes(self) -> Self:
        if len(self.mean) != len(self.std) or not 1 <= len(self.mean) <= _MOST_CHANNELS:
            raise ValueError(
                f"mean has {len(self.mean)} numbers and std {len(self.std)}: give one each, or one "
                "each for every channel"
            )
        if self.resize is not None and not all(1 <= side <= 4096 for side in self.resize):  # noqa: PLR2004
            raise ValueError("resize takes sides of 1 to 4096 pixels")
        return self
