"""The pruning config as types, for completion and type checks.

``config: PruneConfig = {"selection": {"mode": "budget", "macs": 0.5}}``; every key is optional. The
service's own defaults apply to the others, and its reference says what each key means. Generated
from the service's schema by ``python -m tools.config_types``; do not edit.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Required, TypedDict


class LayerOverride(TypedDict, total=False):
    """Limits for the layers that match a key in ``layers``, a glob on parameter names."""

    ratio: float | None
    max_ratio: float | None
    min_channels: int | None


class AccuracySelection(TypedDict, total=False):
    """Search for the smallest network within a drop of the metric."""

    max_ratio: float
    min_channels: int
    round_to: int | Literal["auto",]
    target: str | None
    precision: Literal[
        "fp32",
        "int8",
    ]
    exclude: Sequence[str]
    norms: Literal[
        "fused",
        "exact",
    ]
    layers: Mapping[str, LayerOverride]
    mode: Required[Literal["accuracy"]]
    max_drop: float
    unit: Literal[
        "macs",
        "params",
    ]
    max_trials: int


class AugmentSpec(TypedDict, total=False):
    """Random augmentation of the training images, drawn per image unless noted otherwise."""

    crop: int
    flip: bool
    rotate: float
    scale: float
    brightness: float
    contrast: float
    erase: float


class BudgetSelection(TypedDict, total=False):
    """Prune the least salient filters until a share of the cost is left."""

    max_ratio: float
    min_channels: int
    round_to: int | Literal["auto",]
    target: str | None
    precision: Literal[
        "fp32",
        "int8",
    ]
    exclude: Sequence[str]
    norms: Literal[
        "fused",
        "exact",
    ]
    layers: Mapping[str, LayerOverride]
    mode: Required[Literal["budget"]]
    macs: float | None
    params: float | None
    latency: float | None
    batch_size: int


class CriterionSpec(TypedDict, total=False):
    """Measure of a filter's saliency."""

    kind: Literal[
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
        "auto",
    ]
    candidates: Sequence[
        Literal[
            "l1",
            "l2",
            "taylor",
            "jacobian",
            "reconstruction",
            "bn_scale",
            "geometric_median",
            "lamp",
        ]
    ]
    reduction: Literal[
        "sum",
        "mean",
        "max",
    ]
    normalization: Literal[
        "auto",
        "none",
        "mean",
        "max",
    ]
    num_samples: int
    compare: bool


class DistillSpec(TypedDict, total=False):
    """Distillation from the dense network as teacher."""

    weight: float
    temperature: float
    features: float


class ExpectedSpec(TypedDict, total=False):
    """Expected metrics of the dense network, as known from its training."""

    accuracy: float | None
    top1: float | None
    top5: float | None
    macro_f1: float | None
    mean_error: float | None
    miou: float | None
    exact: float | None
    map50_95: float | None
    oks_ap: float | None
    recall1: float | None


class ExportSpec(TypedDict, total=False):
    """Files to export in addition to the plan, the report and the manifest."""

    formats: Sequence[
        Literal[
            "pt2",
            "onnx",
            "safetensors",
        ]
    ]
    targets: Sequence[
        Literal[
            "onnx",
            "openvino",
            "ncnn",
            "executorch",
            "litert",
            "tensorrt",
            "rknn",
            "hailo",
            "coreml",
        ]
    ]
    opset: int | None


class HeadSpec(TypedDict, total=False):
    """Form of the outputs of a detector, a network for keypoints, or a text recogniser."""

    kind: Literal[
        "auto",
        "yolov8",
        "yolov8_raw",
        "yolov5",
        "yolox",
        "ssd",
        "dbnet",
        "heatmaps",
        "yolov8_pose",
    ]
    blank: Literal[
        "first",
        "last",
    ]
    score: float
    overlap: float


class IterativeSchedule(TypedDict, total=False):
    """Prune a little, retrain, prune again."""

    kind: Required[Literal["iterative"]]
    rounds: int
    ramp: float


class OneShotSchedule(TypedDict, total=False):
    """Prune once, then retrain."""

    kind: Literal["one_shot"]


class OptimizerSpec(TypedDict, total=False):
    """Optimiser and learning-rate schedule."""

    kind: Literal[
        "sgd",
        "adamw",
    ]
    learning_rate: float | None
    schedule: Literal[
        "one_cycle",
        "cosine",
        "constant",
    ]
    warmup: float
    momentum: float
    weight_decay: float
    decay: Literal[
        "all",
        "weights",
    ]
    clip_norm: float | None


class PrecisionSpec(TypedDict, total=False):
    """Numbers that the pruned network computes with; int8 is written beside the fp32 file."""

    kind: Literal[
        "fp32",
        "int8",
    ]
    max_drop: float
    num_samples: int
    target: Literal[
        "auto",
        "vnni",
        "avx2",
        "arm",
        "tensorrt",
    ]


class RatioSelection(TypedDict, total=False):
    """Prune a fixed share of the filters, in every layer or across the network."""

    max_ratio: float
    min_channels: int
    round_to: int | Literal["auto",]
    target: str | None
    precision: Literal[
        "fp32",
        "int8",
    ]
    exclude: Sequence[str]
    norms: Literal[
        "fused",
        "exact",
    ]
    layers: Mapping[str, LayerOverride]
    mode: Required[Literal["ratio"]]
    ratio: Required[float]
    scope: Literal[
        "layer",
        "global",
    ]


class RepairSpec(TypedDict, total=False):
    """Refitting of the kept weights after the cut, before any training; needs no labels."""

    kind: Literal[
        "auto",
        "none",
        "reconstruct",
        "fold",
    ]
    num_samples: int
    ridge: float


class ResourcesSpec(TypedDict, total=False):
    """The machine that a job needs."""

    accelerator: Literal[
        "auto",
        "gpu",
        "cpu",
    ]


class RetrainSpec(TypedDict, total=False):
    """Training after pruning."""

    objective: Literal[
        "auto",
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
    distill: DistillSpec
    mode: Literal[
        "compact",
        "masked",
    ]
    epochs: int | Literal["auto",]
    batch_size: int
    optimizer: OptimizerSpec
    augment: AugmentSpec
    label_smoothing: float
    ema: float | None
    patience: int | None
    precision: Literal[
        "auto",
        "float32",
        "bfloat16",
    ]
    compile: Literal[
        "never",
        "always",
    ]


class SanitySpec(TypedDict, total=False):
    """Action if the dense network does not seem to fit the data set."""

    action: Literal[
        "stop",
        "warn",
        "off",
    ]
    num_samples: int


class SplitSpec(TypedDict, total=False):
    """Random split of the samples, for data sets without splits; it has its own seed."""

    validation: float
    test: float
    seed: int


class SteepnessSelection(TypedDict, total=False):
    """Cut each layer's sorted saliency curve where it turns steep."""

    max_ratio: float
    min_channels: int
    round_to: int | Literal["auto",]
    target: str | None
    precision: Literal[
        "fp32",
        "int8",
    ]
    exclude: Sequence[str]
    norms: Literal[
        "fused",
        "exact",
    ]
    layers: Mapping[str, LayerOverride]
    mode: Literal["steepness"]
    steepness: float


class PruneConfig(TypedDict, total=False):
    """Config of a pruning job. Every key is optional."""

    criterion: CriterionSpec
    selection: SteepnessSelection | RatioSelection | BudgetSelection | AccuracySelection
    schedule: OneShotSchedule | IterativeSchedule
    repair: RepairSpec
    retrain: RetrainSpec
    split: SplitSpec
    task: Literal[
        "auto",
        "classification",
        "regression",
        "segmentation",
        "text_recognition",
        "detection",
        "keypoints",
        "embedding",
        "custom",
    ]
    head: HeadSpec
    baselines: bool
    expected: ExpectedSpec
    sanity: SanitySpec
    export: ExportSpec
    precision: PrecisionSpec
    resources: ResourcesSpec
    seed: int
