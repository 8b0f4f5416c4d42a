"""The report of a pruning job; its JSON Schema is served at ``/v1/schemas/report``.

Units are in the names: shares and accuracies in [0, 1], seconds, bytes. The worker writes it.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ONE_CLASS = "answers_of_one_class"  # code of the finding that makes agreement worthless

# Names from the engine's registries; tests/unit/test_surface.py compares the lists.
LOWER_IS_BETTER = frozenset({"cer", "mean_error", "output_error"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageUse(_Part):
    """What a stage took."""

    stage: str
    device: str = Field(description="Device of its arithmetic: cpu or cuda.")
    seconds: float
    peak_memory_bytes: int | None = Field(
        default=None, description="Most memory that it held on a GPU; null on the CPU."
    )


class AcceleratorReport(_Part):
    """The device that the config asked for, and those that computed."""

    asked: str = Field(description="resources.accelerator of the config.")
    device: str
    name: str | None = Field(default=None, description="Name of the GPU; null on the CPU.")
    fallback: str | None = Field(
        default=None, description="Why the job ran on the CPU although it could use a GPU."
    )
    stages: tuple[StageUse, ...] = ()


class LatencyReport(_Part):
    """Latency of one call of ONNX Runtime; dense and pruned calls alternate."""

    batch_size: int
    num_threads: int
    provider: str
    p50: float = Field(description="Median in seconds.")
    p95: float = Field(description="95th percentile in seconds.")
    num_runs: int


class SpeedupReport(_Part):
    """Speed of the pruned network relative to the dense one, timed in alternation."""

    batch_size: int
    num_threads: int
    ratio: float = Field(description="Median over rounds of dense time divided by pruned time.")
    low: float = Field(description="Lower end of the 95 % interval.")
    high: float = Field(description="Upper end.")
    num_rounds: int
    is_measurable: bool = Field(
        description="Whether the 95 % interval excludes 1, which means no difference."
    )

    @property
    def text(self) -> str:
        """The ratio with its interval, or "no measurable difference"."""
        if not self.is_measurable:
            return "no measurable difference"
        digits = 2 if self.high - self.low < 0.2 else 1 if self.high < 10 else 0  # noqa: PLR2004
        ratio, low, high = (f"{each:.{digits}f}" for each in (self.ratio, self.low, self.high))
        return f"{ratio}x ({low} to {high}){'' if self.low > 1 else ', slower'}"


class LoadReport(_Part):
    """Load of the machine while latencies were measured."""

    is_busy: bool | None = Field(
        description="Whether the measurement was disturbed; null: unknown."
    )
    reason: str = Field(description="Cause of the disturbance; empty without one.")
    num_busy_processors: float | None = Field(
        description="Average number of processors busy with other processes; null: unknown."
    )


class ChangeReport(_Part):
    """Difference of the main metric from the dense network's on the same samples."""

    difference: float = Field(description="This network's metric minus the dense network's.")
    low: float = Field(description="Lower end of the 95 % interval.")
    high: float = Field(description="Upper end.")
    num_lost: int | None = Field(
        description="Samples that only the dense network classifies correctly; null for other "
        "metrics."
    )
    num_won: int | None = Field(description="Samples that only this network has right.")
    is_measurable: bool = Field(
        description="Whether the 95 % interval excludes 0, which means no difference."
    )


class ClassReport(_Part):
    """Metrics of one class of masks or boxes, or of one keypoint."""

    number: int
    name: str
    values: dict[str, float | None] = Field(description="Metrics by name.")
    intervals: dict[str, tuple[float, float]] = Field(description="95 % intervals by name.")


class MetricsReport(_Part):
    """Metrics of a network on the samples of one split."""

    split: Literal["validation", "test"]
    runtime: Literal["torch", "onnxruntime"]
    num_samples: int
    loss: float | None = Field(
        description="Mean cross-entropy (classes), binary cross-entropy (multi-label) or squared "
        "error (numbers); squared output_error without labels. Null if not finite."
    )
    top1: float | None = Field(default=None, description="Share of correct predictions.")
    top5: float | None = Field(
        default=None,
        description="Share of samples whose class is among the best five; only with more than 5 "
        "classes.",
    )
    macro_f1: float | None = Field(default=None, description="F1 averaged over classes.")
    mean_error: float | None = Field(default=None, description="Mean absolute error of numbers.")
    miou: float | None = Field(
        default=None, description="Intersection over union of masks, averaged over classes."
    )
    dice: float | None = Field(default=None, description="Dice of masks, averaged over classes.")
    exact: float | None = Field(default=None, description="Share of lines read without a mistake.")
    cer: float | None = Field(
        default=None,
        description="Character error rate: inserted, deleted and replaced characters, as a share "
        "of the characters of the texts.",
    )
    map50_95: float | None = Field(
        default=None,
        description="COCO's mean average precision of boxes, over overlaps from 0.5 to 0.95.",
    )
    map50: float | None = Field(
        default=None, description="Mean average precision of boxes at an overlap of 0.5."
    )
    oks_ap: float | None = Field(
        default=None,
        description="COCO's average precision of keypoints, over similarities (OKS) from 0.5 to "
        "0.95.",
    )
    oks_ap50: float | None = Field(
        default=None, description="Average precision of keypoints at a similarity of 0.5."
    )
    pck: float | None = Field(
        default=None,
        description="Share of labelled keypoints found within a tenth of the longer side of their "
        "object's box.",
    )
    recall1: float | None = Field(
        default=None,
        description="Share of samples whose nearest other sample, by cosine, has their identity.",
    )
    recall5: float | None = Field(
        default=None, description="The same for one of the five nearest samples."
    )
    agreement: float | None = Field(
        default=None,
        description="Share of samples with the same predicted class as the dense network.",
    )
    output_error: float | None = Field(
        default=None,
        description="Distance to the dense network's outputs, relative to their norm.",
    )
    interval: tuple[float, float] | None = Field(
        default=None,
        description="95 % interval of the main metric due to sampling; null if unknown.",
    )
    change: ChangeReport | None = Field(
        default=None, description="Change of the main metric from the dense network."
    )
    classes: tuple[ClassReport, ...] = Field(
        default=(),
        description="Metrics of every class of masks or boxes, or of every "
        "keypoint; otherwise empty.",
    )

    def value(self, name: str) -> float | None:
        """Return a metric by its name in `Report.metric`."""
        found: float | None = getattr(self, name)
        return found


class NetworkReport(_Part):
    """Measurements of one network: dense, pruned, repaired or retrained."""

    num_parameters: int
    macs: int = Field(description="Multiply-accumulates for one sample.")
    file_bytes: int = Field(description="Size of the ONNX file; 0 without one.")
    latency_seconds: tuple[LatencyReport, ...] = Field(
        description="Latencies of the ONNX file; empty without one."
    )
    metrics: tuple[MetricsReport, ...] = Field(
        description="Metrics by split and runtime; empty without labelled data."
    )


class InexactReport(_Part):
    """Error of the layers that one operator makes inexact, pruned alone."""

    op: str
    groups: tuple[str, ...]
    float64_max_absolute_error: float
    float64_max_relative_error: float


class EquivalenceReport(_Part):
    """Comparison of the compacted network with its masked twin, after retraining."""

    is_exact: bool = Field(
        description="Whether the plan is exact, so that the two must agree; if not, see inexact."
    )
    inexact_ops: tuple[str, ...]
    exact_groups_float64_max_relative_error: float | None = Field(
        description="Error of the layers that must agree, pruned alone, before retraining."
    )
    inexact: tuple[InexactReport, ...] = Field(
        description="Error of the other layers, by the operator that makes them inexact."
    )
    float64_max_absolute_error: float
    float64_max_relative_error: float
    float32_max_absolute_error: float
    float32_max_relative_error: float
    num_samples: int


class ModelReport(_Part):
    """The pruned model."""

    name: str | None = Field(description="Name in the registry, or file name.")
    id: str | None
    sha256: str | None = Field(description="SHA-256 of the uploaded file.")
    inputs: tuple[dict[str, Any], ...] = Field(
        description="Name, shape (`batch` first) and dtype of each input."
    )
    num_outputs: int


class DataReport(_Part):
    """The data set and how it was used."""

    name: str | None
    id: str | None
    sha256: str | None = Field(description="SHA-256 of the uploaded file.")
    format: str
    num_samples: int
    sample_shape: tuple[int, ...]
    labels: str = Field(
        description="Kind of the labels, such as classes or numbers; none without labels."
    )
    num_classes: int = Field(description="0 if labels are not classes.")
    class_names: tuple[str, ...] = Field(description="The first hundred class names.")
    splits: dict[str, int] = Field(description="Number of samples in train, validation and test.")
    is_split_given: bool = Field(
        description="Whether the file gave the split; otherwise config.split drew it."
    )
    preprocess: dict[str, Any]


class LayerReport(_Part):
    """One convolution or matrix product, before and after pruning."""

    weight: str | None = Field(
        description="Name of the weight tensor; null for a product of activations."
    )
    op: str
    num_outputs: tuple[int, int] = Field(
        description="Output channels or features, dense and pruned."
    )
    macs: tuple[int, int] = Field(description="Multiply-accumulates for one sample.")


class GroupReport(_Part):
    """One family of channel groups, before and after pruning."""

    name: str
    num_groups: int
    num_kept: int
    members: tuple[str, ...] = Field(description="Tensors and dimensions that are pruned together.")
    is_exact: bool
    inexact_ops: tuple[str, ...]
    saliency: tuple[float, ...] = Field(description="Saliency curve in ascending order.")
    num_wanted: int = Field(description="Groups that the selection would remove, before limits.")
    threshold: float | None = Field(description="Least saliency that is kept.")
    reason: str


class FrozenReport(_Part):
    """Filters that cannot be pruned."""

    tensor: str
    dim: int
    num_channels: int
    reason: str
    op: str
    node: str = Field(
        description="Operator call that freezes them, as named in the analysed graph."
    )
    source: str = Field(description="Line of the user's model with that call.")


class EpochReport(_Part):
    """One epoch of retraining."""

    epoch: int
    train_loss: float
    validation_loss: float | None
    validation_metric: float | None = Field(description="Value of the main metric.")
    learning_rate: float
    seconds: float


class LatencyTrial(_Part):
    """One step of the search for a latency budget; values are shares of the dense latency."""

    asked: float = Field(description="Latency requested from the model of measured layers.")
    measured: float = Field(description="Measured latency of the whole network.")
    precision: Literal["fp32", "int8"] = Field(
        default="fp32", description="Precision in which that network was faster."
    )


class TargetReport(_Part):
    """The device for which widths were chosen, by latencies that it measured, and the prediction.

    Nothing was measured there after pruning.
    """

    id: str = Field(description="Id of the uploaded latencies.")
    name: str
    device: str
    runtime: str
    runtime_version: str
    num_threads: int
    batch_size: int
    precision: str
    dense_seconds: float = Field(
        description="Time of the dense network in fp32 there: measured, or the sum of its layers."
    )
    is_dense_measured: bool = Field(description="Whether the whole dense network was measured.")
    predicted_seconds: float = Field(description="Predicted time of the pruned network there.")
    predicted: float = Field(description="The same as a share of the dense network's.")


class PlannedQuality(_Part):
    """Quality of a planned network that is repaired and not trained, before any job has run."""

    metric: str
    dense: float | None = Field(description="Metric of the dense network on the same samples.")
    repaired: float | None = Field(description="Metric of the planned network after repair.")
    interval: tuple[float, float] | None = Field(
        default=None, description="95 % interval of repaired - dense."
    )
    num_samples: int = Field(description="Validation samples.")


class CriterionTrial(_Part):
    """Result of one criterion, pruned to the common cost and repaired, without retraining."""

    criterion: str
    validation_loss: float | None = Field(description="Validation loss; null if not finite.")
    validation_metric: float | None
    macs: float = Field(description="Share of the dense network's cost that is left.")
    interval: tuple[float, float] | None = Field(
        default=None, description="95 % interval of the validation metric."
    )


class AccuracyTrial(_Part):
    """One trial of the search for the smallest network within max_drop."""

    asked: float = Field(description="Share of the dense cost allowed by the budget.")
    macs: float = Field(description="Share of the dense cost that is left.")
    params: float = Field(description="Share of the dense parameters that is left.")
    validation_metric: float | None = Field(
        description="Validation metric; null if training diverged."
    )
    drop: float | None = Field(description="Drop below the dense network's metric.")
    drop_interval: tuple[float, float] | None = Field(
        default=None,
        description="95 % interval of the drop on the same samples. The decision uses the drop "
        "itself.",
    )
    is_kept: bool = Field(description="Whether the drop is within max_drop.")
    is_trained: bool = Field(
        default=True,
        description="Whether the network was trained before it was measured. If not, it was "
        "repaired.",
    )


class RangeTestReport(_Part):
    """Range test that chose the learning rate, if none was given."""

    learning_rate: float
    curve: tuple[tuple[float, float], ...] = Field(
        description="Pairs (learning rate, smoothed loss)."
    )


class Finding(_Part):
    """An important observation about the job, for people and programs."""

    code: str = Field(description="Stable code, such as near_chance or training_did_not_help.")
    severity: Literal["serious", "notice"] = Field(
        description="serious: do not trust the result before you understand the cause."
    )
    message: str


class NextStep(_Part):
    """A change of the config that may improve the result."""

    title: str
    reason: str
    config: dict[str, Any] = Field(
        description="New values by JSON pointer into the config, as in a sweep's grid."
    )


class Verdict(_Part):
    """Whether to use the pruned network, in one sentence."""

    status: Literal["ready", "uncertain", "not_ready"] = Field(
        description="ready: within the allowed loss and faster. uncertain: smaller, but the "
        "quality or the speed is not known well enough. not_ready: do not ship it."
    )
    text: str
    next_steps: tuple[NextStep, ...] = Field(
        default=(), description="What to try next, the most promising first."
    )


class RefitReport(_Part):
    """One weight that the repair solved for."""

    weight: str
    before: float = Field(
        description="Squared error of the layer's outputs with the kept weights, as a share of "
        "their variance."
    )
    after: float = Field(description="The same with the solved weights.")


class RepairReport(_Part):
    """Repair of the pruned network before training."""

    kind: Literal["reconstruct", "fold"]
    num_samples: int = Field(
        description="Samples that the weights were solved from; 0 after folding."
    )
    ridge: float
    refits: tuple[RefitReport, ...] = Field(
        description="Solved weights, in order; none after folding."
    )
    num_merged: int = Field(
        default=0, description="Channel groups that were merged into similar ones by folding."
    )


class CandidateReport(_Part):
    """One candidate for the result, measured on the validation samples."""

    what: Literal["pruned", "recalibrated", "repaired", "epoch"]
    epoch: int | None = Field(
        description="Epoch number if the candidate is `epoch`; otherwise null."
    )
    value: float | None = Field(description="Value of the main metric.")
    loss: float | None


class KeptReport(_Part):
    """The network chosen as the result: the best candidate on the validation samples."""

    what: Literal["pruned", "recalibrated", "repaired", "epoch"] = Field(
        description="pruned: as pruned. recalibrated: with re-measured BatchNorm statistics. "
        "repaired: with refitted weights. epoch: after an epoch of training."
    )
    epoch: int | None = Field(
        description="Epoch number if the candidate is `epoch`; otherwise null."
    )
    metric: str | None = Field(
        description="Metric of the decision; null without validation samples."
    )
    value: float | None
    loss: float | None
    reason: str
    candidates: tuple[CandidateReport, ...] = Field(
        description="The pruned, recalibrated and repaired networks and the best epoch."
    )


class EpochsReport(_Part):
    """Number of training epochs, and the reason for it."""

    asked: int | Literal["auto"]
    num: int = Field(description="Number of epochs planned.")
    reason: str


class FloatLayerReport(_Part):
    """A layer of the int8 file that stays in fp32."""

    name: str = Field(description="Name of its weight in the ONNX file.")
    op: str
    reason: str


class Int8Trial(_Part):
    """One int8 file that was tried."""

    recipe: str = Field(
        description="Operators that become integer. layers: convolutions and matrix products. "
        "layers_and_sums: sums and poolings as well. all: all that ONNX Runtime can."
    )
    calibration: str = Field(
        description="How the ranges of activations were measured: minmax, percentile or entropy."
    )
    has_float_ends: bool = Field(description="Whether the first and last layers stay in fp32.")
    num_float: int = Field(description="Other layers in fp32, because they lose the most.")
    speedup: float | None = Field(
        description="Speed relative to the fp32 file; null if it was not timed."
    )
    drop: float | None = Field(
        description="Drop of the metric below the fp32 file's; null if it was not judged, or not "
        "finite."
    )
    trouble: str = Field(description="Why it cannot be written or run; empty if it can.")


class Int8Report(_Part):
    """Int8 file of the pruned network, or why there is none.

    The equivalence certificate ends at the fp32 network: int8 rounds, so the int8 file is judged by
    its metrics.
    """

    is_kept: bool = Field(description="Whether the job has an int8 file.")
    is_served: bool = Field(description="Whether /infer serves it as variant int8.")
    reason: str = Field(description="Why there is an int8 file, or why there is none.")
    target: str = Field(description="Processor that its integer types are for.")
    max_drop: float
    metric: str | None = Field(description="Metric of the promise; null if none was measured.")
    before: float | None = Field(description="Its value for the fp32 file.")
    after: float | None = Field(
        description="Its value for the int8 file, or for the nearest that was refused."
    )
    num_judged: int = Field(description="Validation samples that it was measured on.")
    num_samples: int = Field(description="Training samples that calibrated the file.")
    agreement: float | None = Field(
        description="Share of samples with the same predicted class as the fp32 file; null "
        "without classes."
    )
    recipe: str | None = Field(description="As in the trials; null if no file was chosen.")
    calibration: str | None
    file_bytes: tuple[int, int] | None = Field(description="Sizes of the fp32 and int8 file.")
    fp32_latency_seconds: tuple[LatencyReport, ...] = Field(
        description="Latencies of the fp32 file, timed in turns with the int8 file."
    )
    latency_seconds: tuple[LatencyReport, ...]
    speedups: tuple[SpeedupReport, ...] = Field(
        description="Speed of the int8 file relative to the fp32 file of the pruned network."
    )
    num_integer: int | None = Field(
        description="Convolutions and matrix products that ONNX Runtime computes in integers."
    )
    num_float: int | None = Field(description="Those that it computes in fp32.")
    num_conversions: int | None = Field(
        description="Conversions between int8 and fp32 that are left in its graph."
    )
    float_layers: tuple[FloatLayerReport, ...] = ()
    trials: tuple[Int8Trial, ...] = ()
    metrics: tuple[MetricsReport, ...] = Field(
        default=(), description="Metrics of the int8 file in ONNX Runtime; empty without one."
    )
    notes: tuple[str, ...] = ()


class CutReport(_Part):
    """One pruning step of an iterative schedule."""

    step: int = Field(description="Training step before which the cut is made.")
    target: float = Field(
        description="Target of the cut: share of the cost to keep, or of the filters to remove."
    )


class BaselineReport(_Part):
    """A network trained with the same budget, for comparison."""

    kind: Literal["random", "scratch"] = Field(
        description="random: pruned to the same widths at random. scratch: the pruned network, "
        "trained from new weights."
    )
    metrics: tuple[MetricsReport, ...]
    history: tuple[EpochReport, ...]
    learning_rate: float


class ExportTargetReport(_Part):
    """One export target: its files, and how they compare with the network."""

    name: str = Field(description="Name in config.export.targets.")
    title: str
    files: tuple[str, ...] = Field(description="Names of its files among the job's artifacts.")
    num_bytes: int = Field(description="Size of the files that hold the network.")
    script: str | None = Field(
        description="Snippet or build script, with the preprocessing; null if refused."
    )
    opset: int | None = Field(default=None, description="ONNX opset of its file, if it has one.")
    precision: str = Field(description="How it stores and computes, such as float16 weights.")
    max_absolute_error: float | None = Field(
        default=None,
        description="Largest difference from torch on the same samples; null if not run.",
    )
    allowed_error: float | None = Field(
        default=None, description="Largest difference that its precision allows."
    )
    agreement: float | None = Field(
        default=None,
        description="Share of samples with the same best class as in torch; for other outputs, "
        "within the allowed difference.",
    )
    num_samples: int = Field(default=0, description="Samples of the comparison; 0 if not run.")
    latency_seconds: tuple[LatencyReport, ...] = ()
    speedups: tuple[SpeedupReport, ...] = Field(
        default=(), description="Speed relative to model.onnx in ONNX Runtime, timed in turns."
    )
    refusal: str | None = Field(
        default=None, description="Why its files were not kept; null if they were."
    )


class Report(_Part):
    """Report of a pruning job."""

    version: Literal[1] = 1
    verdict: Verdict | None = Field(default=None, description="Null in reports before 0.2.")
    config: dict[str, Any]
    task: str | None = Field(
        default=None, description="Task of the network, such as detection; null before 0.2."
    )
    metric: str | None = Field(description="Field of the metrics that counts, if any.")
    objective: str | None = Field(description="Training objective; null without retraining.")
    criterion: str = Field(description="Criterion in use; for 'auto', the chosen one.")
    model: ModelReport | None = None
    data: DataReport | None = Field(default=None, description="Null without a data set.")
    dense: NetworkReport
    pruned: NetworkReport = Field(description="Metrics after pruning, before any training.")
    recalibrated_metrics: tuple[MetricsReport, ...] = Field(
        description="Metrics after BatchNorm recalibration, before training."
    )
    repaired: NetworkReport | None = Field(
        default=None, description="Metrics after repair, before training; null without repair."
    )
    repair: RepairReport | None = Field(default=None, description="Null without repair.")
    retrained: NetworkReport = Field(
        description="The result: the best of the candidates in `kept`, usually after training."
    )
    speedups: tuple[SpeedupReport, ...] = Field(
        default=(), description="Speedup of the result by batch size; empty in reports before 0.2."
    )
    load: LoadReport | None = Field(
        default=None, description="Machine load while latencies were measured."
    )
    int8: Int8Report | None = Field(default=None, description="Null unless precision.kind is int8.")
    equivalence: EquivalenceReport
    onnx_max_absolute_error: float | None = Field(
        description="Largest difference of model.onnx from PyTorch on real batches; null without "
        "that file."
    )
    export_targets: tuple[ExportTargetReport, ...] = Field(
        default=(), description="Export targets of the config, in its order."
    )
    groups: tuple[GroupReport, ...]
    layers: tuple[LayerReport, ...] = Field(
        default=(), description="Layers in the order of the network."
    )
    frozen: tuple[FrozenReport, ...]
    criteria_agreement: dict[str, float] = Field(
        default_factory=dict,
        description="Spearman's rho of each criterion with the exact loss of removing a filter, "
        "averaged over layers; empty unless criterion.compare is set.",
    )
    latency_trials: tuple[LatencyTrial, ...] = ()
    target: TargetReport | None = Field(
        default=None, description="Null where widths were not chosen for a device of the user."
    )
    criterion_trials: tuple[CriterionTrial, ...] = Field(
        default=(), description="Criteria that 'auto' compared, with 'random' for reference."
    )
    accuracy_trials: tuple[AccuracyTrial, ...] = ()
    cuts: tuple[CutReport, ...] = Field(default=(), description="Cuts of an iterative schedule.")
    learning_rate: float | None = Field(
        default=None, description="Peak learning rate of the training."
    )
    range_test: RangeTestReport | None = None
    epochs: EpochsReport | None = Field(default=None, description="Null without training.")
    history: tuple[EpochReport, ...]
    kept: KeptReport | None = Field(default=None, description="Null in reports before 0.2.")
    baselines: tuple[BaselineReport, ...] = ()
    findings: tuple[Finding, ...] = Field(
        default=(), description="Findings in the order of detection."
    )
    notes: tuple[str, ...]
    stage_seconds: dict[str, float]
    device: str
    accelerator: AcceleratorReport | None = Field(
        default=None, description="Devices of the stages; null in reports before 0.3."
    )
    versions: dict[str, str]
