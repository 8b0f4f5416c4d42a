"""The report of a pruning job; its JSON Schema is served at ``/v1/schemas/report``.

Units are in the names: shares and accuracies in [0, 1], seconds, bytes. The worker writes it.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# As in the engine's records; tests/unit/test_surface.py holds these lists equal to them.
LabelName = Literal["classes", "binary", "multi_label", "numbers", "none"]
LOWER_IS_BETTER = frozenset({"mean_error", "output_error"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LatencyReport(_Part):
    """Time of one call of ONNX Runtime, dense and pruned taking turns."""

    batch_size: int
    num_threads: int
    provider: str
    p50: float = Field(description="Seconds; the median.")
    p95: float = Field(description="Seconds; nineteen calls in twenty are faster.")
    num_runs: int


class SpeedupReport(_Part):
    """Speed of the pruned network over the dense one, both timed in alternation."""

    batch_size: int
    num_threads: int
    ratio: float = Field(description="Median, over rounds, of the dense time over the pruned one.")
    low: float = Field(description="Lower end of its 95 % interval.")
    high: float = Field(description="Upper end.")
    num_rounds: int
    is_measurable: bool = Field(description="Whether the interval leaves out 1: no difference.")

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

    is_busy: bool | None = Field(description="Whether it was disturbed; null: not known.")
    reason: str = Field(description="Cause of the disturbance; empty if there was none.")
    num_busy_processors: float | None = Field(
        description="Processors that other processes kept busy on average; null: not known."
    )


class ChangeReport(_Part):
    """Difference of the main metric from the dense network's, on the same samples."""

    difference: float = Field(description="This network's minus the dense one's.")
    low: float = Field(description="Lower end of its 95 % interval.")
    high: float = Field(description="Upper end.")
    num_lost: int | None = Field(
        description="Samples that only the dense network has right; null where no sample is right."
    )
    num_won: int | None = Field(description="Samples that only this network has right.")
    is_measurable: bool = Field(description="Whether the interval leaves out 0: no difference.")


class MetricsReport(_Part):
    """Metrics of a network on the samples of one split."""

    split: Literal["validation", "test"]
    runtime: Literal["torch", "onnxruntime"]
    num_samples: int
    loss: float | None = Field(
        description="Mean cross-entropy (classes), binary cross-entropy (several classes a sample) "
        "or squared error (numbers); without labels the squared output_error. Null if it is not "
        "finite."
    )
    top1: float | None = Field(default=None, description="Share of right answers.")
    top5: float | None = Field(
        default=None, description="Share with the right class among the best five, of more than 5."
    )
    macro_f1: float | None = Field(default=None, description="F1 averaged over classes.")
    mean_error: float | None = Field(default=None, description="Mean absolute error of numbers.")
    agreement: float | None = Field(
        default=None, description="Share of samples whose best class is the dense network's."
    )
    output_error: float | None = Field(
        default=None,
        description="Distance to the dense network's outputs, as a share of their norm.",
    )
    interval: tuple[float, float] | None = Field(
        default=None,
        description="95 % interval of the main metric, from sampling. Null if unknown.",
    )
    change: ChangeReport | None = Field(
        default=None, description="Change of the main metric against the dense network."
    )

    def value(self, name: str) -> float | None:
        """Return a metric by the name that `Report.metric` gives."""
        found: float | None = getattr(self, name)
        return found


class NetworkReport(_Part):
    """One network: dense, pruned or retrained."""

    num_parameters: int
    macs: int = Field(description="Multiply-accumulates of one sample.")
    file_bytes: int = Field(description="Size of the ONNX file; 0 without one.")
    latency_seconds: tuple[LatencyReport, ...] = Field(description="Empty without an ONNX file.")
    metrics: tuple[MetricsReport, ...] = Field(description="Empty without labelled data.")


class InexactReport(_Part):
    """The layers that one operator makes inexact, pruned without the others."""

    op: str
    groups: tuple[str, ...]
    float64_max_absolute_error: float
    float64_max_relative_error: float


class EquivalenceReport(_Part):
    """The compacted network against its masked twin, after retraining."""

    is_exact: bool = Field(description="Whether the two must agree; if not, see inexact.")
    inexact_ops: tuple[str, ...]
    exact_groups_float64_max_relative_error: float | None = Field(
        description="Of the layers that must agree, pruned by themselves, before retraining."
    )
    inexact: tuple[InexactReport, ...] = Field(description="The others, operator by operator.")
    float64_max_absolute_error: float
    float64_max_relative_error: float
    float32_max_absolute_error: float
    float32_max_relative_error: float
    num_samples: int


class ModelReport(_Part):
    """The model that was pruned."""

    name: str | None = Field(description="Its name in the registry, or its file's.")
    id: str | None
    sha256: str | None = Field(description="Of the uploaded file.")
    inputs: tuple[dict[str, Any], ...] = Field(
        description="Name, shape (`batch` first) and dtype of each input."
    )
    num_outputs: int


class DataReport(_Part):
    """The samples that were used, and how."""

    name: str | None
    id: str | None
    sha256: str | None = Field(description="Of the uploaded file.")
    format: str
    num_samples: int
    sample_shape: tuple[int, ...]
    labels: LabelName
    num_classes: int = Field(description="0 where labels are not classes.")
    class_names: tuple[str, ...] = Field(description="The first hundred, if there are more.")
    splits: dict[str, int] = Field(description="Samples in train, validation and test.")
    is_split_given: bool = Field(description="False: drawn by config.split.")
    preprocess: dict[str, Any]


class LayerReport(_Part):
    """One convolution or matrix product, before and after."""

    weight: str | None = Field(description="The tensor's name; null for a product of activations.")
    op: str
    num_outputs: tuple[int, int] = Field(
        description="Channels or features that it makes, dense and pruned."
    )
    macs: tuple[int, int] = Field(description="Multiply-accumulates of one sample.")


class GroupReport(_Part):
    """One family of channel groups, before and after pruning."""

    name: str
    num_groups: int
    num_kept: int
    members: tuple[str, ...] = Field(description="Tensors and dimensions that go together.")
    is_exact: bool
    inexact_ops: tuple[str, ...]
    saliency: tuple[float, ...] = Field(description="Ascending: the saliency curve.")
    num_wanted: int = Field(description="What the selection asked for, before limits.")
    threshold: float | None = Field(description="The least saliency that was kept.")
    reason: str


class FrozenReport(_Part):
    """Filters that cannot be pruned."""

    tensor: str
    dim: int
    num_channels: int
    reason: str
    op: str
    node: str = Field(description="The call, as named in the analysed graph.")
    source: str = Field(description="The line of the user's model that made the call.")


class EpochReport(_Part):
    """One pass of retraining."""

    epoch: int
    train_loss: float
    validation_loss: float | None
    validation_metric: float | None = Field(description="Of the metric that counts.")
    learning_rate: float
    seconds: float


class LatencyTrial(_Part):
    """One step on the way to a latency budget; shares of the dense network's latency."""

    asked: float = Field(description="What the model of measured layers was asked for.")
    measured: float = Field(description="What the whole network took.")


class CriterionTrial(_Part):
    """What one criterion left, pruned to the same cost, recalibrated and not retrained."""

    criterion: str
    validation_loss: float | None = Field(description="Null if it is not finite.")
    validation_metric: float | None
    macs: float = Field(description="Share of the dense network's that is left.")
    interval: tuple[float, float] | None = Field(
        default=None, description="Of the validation metric, 95 %."
    )


class AccuracyTrial(_Part):
    """One step of the search for the most compression that keeps a promise."""

    asked: float = Field(description="Share of the dense cost that the budget allowed.")
    macs: float = Field(description="Share of the dense network's that was left.")
    params: float = Field(description="The same of the parameters.")
    validation_metric: float | None = Field(description="None: its training diverged.")
    drop: float | None = Field(description="Below the dense network, where more is worse.")
    drop_interval: tuple[float, float] | None = Field(
        default=None, description="95 %, on the same samples. The promise is kept by the drop."
    )
    is_kept: bool = Field(description="Whether the promise was kept.")


class RangeTestReport(_Part):
    """How the learning rate was found, when none was given."""

    learning_rate: float
    curve: tuple[tuple[float, float], ...] = Field(description="(learning rate, smoothed loss).")


class Finding(_Part):
    """An important observation about the job, for people and for programs."""

    code: str = Field(description="Stable, such as near_chance or training_did_not_help.")
    severity: Literal["serious", "notice"] = Field(
        description="serious: do not trust the result before the cause is understood."
    )
    message: str


class CandidateReport(_Part):
    """One of the networks that the result was chosen from, on the validation samples."""

    what: Literal["pruned", "recalibrated", "epoch"]
    epoch: int | None = Field(description="Of `epoch`; null for the others.")
    value: float | None = Field(description="Of the metric that counts.")
    loss: float | None


class KeptReport(_Part):
    """Which network is the result, and why: the best of all on the validation samples."""

    what: Literal["pruned", "recalibrated", "epoch"] = Field(
        description="pruned: before anything else. recalibrated: with BatchNorm's statistics "
        "measured anew. epoch: as it was after an epoch of training."
    )
    epoch: int | None = Field(description="Of `epoch`; null for the others.")
    metric: str | None = Field(description="The metric that decided; null without validation.")
    value: float | None
    loss: float | None
    reason: str
    candidates: tuple[CandidateReport, ...] = Field(
        description="The pruned and the recalibrated network and the best epoch."
    )


class EpochsReport(_Part):
    """Number of training epochs, and the reason for it."""

    asked: int | Literal["auto"]
    num: int = Field(description="Epochs that were to be trained.")
    reason: str


class CutReport(_Part):
    """One cut of an iterative schedule."""

    step: int = Field(description="The training step before which it was made.")
    target: float = Field(
        description="What it asked for: the share of the cost to keep, or of the filters to remove."
    )


class BaselineReport(_Part):
    """A network with the same budget, for comparison."""

    kind: Literal["random", "scratch"] = Field(
        description="random: pruned to the same widths without a criterion. scratch: the pruned "
        "network, trained from new weights."
    )
    metrics: tuple[MetricsReport, ...]
    history: tuple[EpochReport, ...]
    learning_rate: float


class Report(_Part):
    """Report of a pruning job."""

    version: Literal[1] = 1
    config: dict[str, Any]
    metric: str | None = Field(description="The field of the metrics that counts, if any.")
    objective: str | None = Field(description="What was trained for; null without retraining.")
    criterion: str = Field(description="The criterion in use: what 'auto' chose.")
    model: ModelReport | None = None
    data: DataReport | None = Field(default=None, description="Null without a data set.")
    dense: NetworkReport
    pruned: NetworkReport = Field(description="After pruning, before any training.")
    recalibrated_metrics: tuple[MetricsReport, ...] = Field(
        description="After BatchNorm recalibration, before training."
    )
    retrained: NetworkReport
    speedups: tuple[SpeedupReport, ...] = Field(
        default=(), description="Of the result, by batch size; empty in reports before 0.2."
    )
    load: LoadReport | None = Field(default=None, description="While latencies were measured.")
    equivalence: EquivalenceReport
    onnx_max_absolute_error: float | None = Field(
        description="model.onnx against torch, real batches; none without that file."
    )
    groups: tuple[GroupReport, ...]
    layers: tuple[LayerReport, ...] = Field(default=(), description="In the network's order.")
    frozen: tuple[FrozenReport, ...]
    criteria_agreement: dict[str, float] = Field(
        default_factory=dict,
        description="Spearman's rho of each criterion with the exact loss of removing a filter, "
        "averaged over layers; empty unless criterion.compare was asked for.",
    )
    latency_trials: tuple[LatencyTrial, ...] = ()
    criterion_trials: tuple[CriterionTrial, ...] = Field(
        default=(), description="What 'auto' compared, and 'random' beside it."
    )
    accuracy_trials: tuple[AccuracyTrial, ...] = ()
    cuts: tuple[CutReport, ...] = Field(default=(), description="Of an iterative schedule.")
    learning_rate: float | None = Field(default=None, description="The peak that was trained at.")
    range_test: RangeTestReport | None = None
    epochs: EpochsReport | None = Field(default=None, description="Null without training.")
    history: tuple[EpochReport, ...]
    kept: KeptReport | None = Field(default=None, description="Null in reports before 0.2.")
    baselines: tuple[BaselineReport, ...] = ()
    findings: tuple[Finding, ...] = Field(
        default=(), description="What should not be missed, in the order it was found."
    )
    notes: tuple[str, ...]
    stage_seconds: dict[str, float]
    device: str
    versions: dict[str, str]
