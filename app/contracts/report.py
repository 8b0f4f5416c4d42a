"""The report of a pruning job: its JSON Schema is served at ``/v1/schemas/report``.

Units are in the names: shares and accuracies in [0, 1], seconds, bytes. The worker fills it in, the
API and people read it.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


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


class MetricsReport(_Part):
    """How good a network is on the samples of one split."""

    split: Literal["validation", "test"]
    top1: float
    loss: float | None = Field(description="Mean cross-entropy; null if it is not finite.")
    num_samples: int
    runtime: Literal["torch", "onnxruntime"]


class NetworkReport(_Part):
    """One network: dense, pruned or retrained."""

    num_parameters: int
    macs: int = Field(description="Multiply-accumulates of one sample.")
    file_bytes: int = Field(description="Size of the ONNX file.")
    latency_seconds: tuple[LatencyReport, ...]
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


class GroupReport(_Part):
    """One family of channel groups, and what became of it."""

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
    validation_top1: float | None
    learning_rate: float
    seconds: float


class LatencyTrial(_Part):
    """One step on the way to a latency budget; shares of the dense network's latency."""

    asked: float = Field(description="What the model of measured layers was asked for.")
    measured: float = Field(description="What the whole network took.")


class Report(_Part):
    """Everything a job found out."""

    version: Literal[1] = 1
    config: dict[str, Any]
    dense: NetworkReport
    pruned: NetworkReport = Field(description="After pruning, before any training.")
    recalibrated_metrics: tuple[MetricsReport, ...] = Field(
        description="After BatchNorm recalibration, before training."
    )
    retrained: NetworkReport
    equivalence: EquivalenceReport
    onnx_max_absolute_error: float = Field(description="model.onnx against torch, real batches.")
    groups: tuple[GroupReport, ...]
    frozen: tuple[FrozenReport, ...]
    criteria_agreement: dict[str, float] = Field(
        default_factory=dict,
        description="Spearman's rho of each criterion with the exact loss of removing a filter, "
        "averaged over layers; empty unless criterion.compare was asked for.",
    )
    latency_trials: tuple[LatencyTrial, ...] = ()
    history: tuple[EpochReport, ...]
    notes: tuple[str, ...]
    stage_seconds: dict[str, float]
    device: str
    versions: dict[str, str]
