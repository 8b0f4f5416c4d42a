"""What a job made, and how good it is. The report on the service has the rest."""

from typing import Literal

from pydantic import Field

from secateur.types.base import Answer


class Latency(Answer):
    """Time of one call of ONNX Runtime, in seconds."""

    batch_size: int
    num_threads: int
    provider: str
    p50: float
    p95: float
    num_runs: int


class Metrics(Answer):
    """How good a network is on the samples of one split."""

    split: Literal["validation", "test"]
    runtime: Literal["torch", "onnxruntime"]
    num_samples: int
    loss: float | None = None
    top1: float | None = None
    top5: float | None = None
    macro_f1: float | None = None
    mean_error: float | None = None
    agreement: float | None = None
    output_error: float | None = None


class Network(Answer):
    """One network of a result: dense, pruned or retrained."""

    num_parameters: int
    macs: int
    file_bytes: int
    latency_seconds: list[Latency]
    metrics: list[Metrics]

    def value(self, metric: str | None, runtime: str = "torch") -> float | None:
        """Return a metric by name, on the test split or else the validation split."""
        for split in ("test", "validation"):
            for found in self.metrics:
                if metric and found.split == split and found.runtime == runtime:
                    value: float | None = getattr(found, metric, None)
                    return value
        return None


class Inexact(Answer):
    """The layers that one operator makes inexact."""

    op: str
    groups: list[str]
    float64_max_absolute_error: float
    float64_max_relative_error: float


class Equivalence(Answer):
    """The compacted network against its masked twin."""

    is_exact: bool
    inexact_ops: list[str] = Field(default_factory=list)
    exact_groups_float64_max_relative_error: float | None = None
    inexact: list[Inexact] = Field(default_factory=list)
    float64_max_absolute_error: float
    float64_max_relative_error: float
    float32_max_absolute_error: float
    float32_max_relative_error: float
    num_samples: int


class Finding(Answer):
    """What should not be missed: of severity `serious`, it makes the result doubtful."""

    code: str
    severity: Literal["serious", "notice"]
    message: str


class Baseline(Answer):
    """A network that had the same budget, to compare with."""

    kind: Literal["random", "scratch"]
    metrics: list[Metrics]


class AccuracyTrial(Answer):
    """One step of the search for the most compression that keeps a promise."""

    asked: float
    macs: float
    params: float
    validation_metric: float | None
    drop: float | None
    is_kept: bool


class Summary(Answer):
    """What counts of a job's report; ``report.json`` has everything."""

    dense: Network
    pruned: Network
    retrained: Network
    metric: str | None = None
    objective: str | None = None
    criterion: str | None = None
    learning_rate: float | None = None
    recalibrated_metrics: list[Metrics] = Field(default_factory=list)
    equivalence: Equivalence
    onnx_max_absolute_error: float
    accuracy_trials: list[AccuracyTrial] = Field(default_factory=list)
    baselines: list[Baseline] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


class ResultFile(Answer):
    """One file of a result."""

    id: str
    name: str
    media_type: str
    sha256: str
    num_bytes: int


class JobResult(Answer):
    """What a job made: the new version of the model, its files, and how good it is."""

    summary: Summary
    model: str
    version: str
    infer_url: str
    artifacts: list[ResultFile]
