"""The result of a job and its quality. ``report.json`` has the details."""

from typing import Any, Literal

from pydantic import Field

from secateur.types.base import Answer


class Latency(Answer):
    """The time of one call in ONNX Runtime, in seconds."""

    batch_size: int
    num_threads: int
    provider: str
    p50: float
    p95: float
    num_runs: int


class Speedup(Answer):
    """The pruned network's speed relative to the dense one's, with a 95 % interval."""

    batch_size: int
    num_threads: int
    ratio: float
    low: float
    high: float
    num_rounds: int
    is_measurable: bool

    @property
    def text(self) -> str:
        """The ratio as text: ``1.9x (1.7 to 2.1)``, or ``no measurable difference``."""
        if not self.is_measurable:
            return "no measurable difference"
        digits = 2 if self.high - self.low < 0.2 else 1 if self.high < 10 else 0  # noqa: PLR2004
        ratio, low, high = (f"{each:.{digits}f}" for each in (self.ratio, self.low, self.high))
        return f"{ratio}x ({low} to {high}){'' if self.low > 1 else ', slower'}"


class Load(Answer):
    """Other load on the machine while latencies were measured; None means unknown."""

    is_busy: bool | None
    reason: str
    num_busy_processors: float | None


class Change(Answer):
    """The difference of the main metric from the dense network's, on the same samples."""

    difference: float
    low: float
    high: float
    num_lost: int | None
    num_won: int | None
    is_measurable: bool


class ClassMetrics(Answer):
    """The metrics of one class of masks or boxes, with 95 % intervals; only in ``report.json``."""

    number: int
    name: str
    values: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]


class Metrics(Answer):
    """A network's metrics on one split.

    ``interval`` (95 %) and ``change`` (from the dense network) belong to the main metric.
    """

    split: Literal["validation", "test"]
    runtime: Literal["torch", "onnxruntime"]
    num_samples: int
    loss: float | None = None
    top1: float | None = None
    top5: float | None = None
    macro_f1: float | None = None
    mean_error: float | None = None
    miou: float | None = None
    dice: float | None = None
    exact: float | None = None
    cer: float | None = None
    map50_95: float | None = None
    map50: float | None = None
    oks_ap: float | None = None
    oks_ap50: float | None = None
    pck: float | None = None
    recall1: float | None = None
    recall5: float | None = None
    agreement: float | None = None
    output_error: float | None = None
    interval: tuple[float, float] | None = None
    change: Change | None = None
    classes: list[ClassMetrics] = Field(default_factory=list)


class Network(Answer):
    """The size, speed and metrics of one network: dense, pruned or retrained."""

    num_parameters: int
    macs: int
    file_bytes: int
    latency_seconds: list[Latency]
    metrics: list[Metrics]

    def value(self, metric: str | None, runtime: str = "torch") -> float | None:
        """Return a metric by name, on the test split or, without one, on the validation split."""
        found = self.final_metrics(runtime)
        value: float | None = getattr(found, metric, None) if metric else None
        return value

    def final_metrics(self, runtime: str = "torch") -> Metrics | None:
        """Return the metrics on the test split or, without one, on the validation split."""
        for split in ("test", "validation"):
            for found in self.metrics:
                if found.split == split and found.runtime == runtime:
                    return found
        return None


class Inexact(Answer):
    """The channel groups that one operator makes inexact."""

    op: str
    groups: list[str]
    float64_max_absolute_error: float
    float64_max_relative_error: float


class Equivalence(Answer):
    """The certificate: the compacted network compared with its masked twin."""

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
    """A problem that the user should see; a `serious` one makes the result doubtful."""

    code: str
    severity: Literal["serious", "notice"]
    message: str


class Candidate(Answer):
    """One of the networks that the result was chosen from, judged on the validation samples."""

    what: Literal["pruned", "recalibrated", "repaired", "epoch"]
    epoch: int | None
    value: float | None
    loss: float | None


class Kept(Answer):
    """The network that was chosen as the result, and why."""

    what: Literal["pruned", "recalibrated", "repaired", "epoch"]
    epoch: int | None
    metric: str | None
    value: float | None
    loss: float | None
    reason: str
    candidates: list[Candidate] = Field(default_factory=list)


class Epochs(Answer):
    """The number of epochs, and why it was chosen."""

    asked: int | Literal["auto"]
    num: int
    reason: str


class Baseline(Answer):
    """Another network with the same budget, for comparison."""

    kind: Literal["random", "scratch"]
    metrics: list[Metrics]


class AccuracyTrial(Answer):
    """One trial in the search for the most compression within an accuracy budget."""

    asked: float
    macs: float
    params: float
    validation_metric: float | None
    drop: float | None
    drop_interval: tuple[float, float] | None = None
    is_kept: bool
    is_trained: bool = True


class NextStep(Answer):
    """A change of the config that may improve the result, by JSON pointer."""

    title: str
    reason: str
    config: dict[str, Any]


class Verdict(Answer):
    """Whether to use the pruned network, in one sentence, and what to try next."""

    status: Literal["ready", "uncertain", "not_ready"]
    text: str
    next_steps: list[NextStep] = Field(default_factory=list)


class Int8(Answer):
    """The int8 file of the pruned network, or why there is none.

    Latencies and ``speedups`` compare it with the fp32 file of the same network.
    """

    is_kept: bool
    is_served: bool
    reason: str
    target: str
    max_drop: float
    metric: str | None
    before: float | None
    after: float | None
    num_judged: int
    num_samples: int
    agreement: float | None
    recipe: str | None
    calibration: str | None
    file_bytes: tuple[int, int] | None
    fp32_latency_seconds: list[Latency]
    latency_seconds: list[Latency]
    speedups: list[Speedup]
    num_integer: int | None
    num_float: int | None
    num_conversions: int | None
    notes: list[str] = Field(default_factory=list)


class ExportTarget(Answer):
    """An export target: its files, and how they compare with the network in torch."""

    name: str
    title: str
    files: list[str]
    num_bytes: int
    script: str | None
    opset: int | None = None
    precision: str
    max_absolute_error: float | None = None
    allowed_error: float | None = None
    agreement: float | None = None
    num_samples: int = 0
    latency_seconds: list[Latency] = Field(default_factory=list)
    speedups: list[Speedup] = Field(default_factory=list)
    refusal: str | None = None


class Summary(Answer):
    """The main results of a job's report."""

    verdict: Verdict | None = None
    dense: Network
    pruned: Network
    repaired: Network | None = None
    retrained: Network
    speedups: list[Speedup] = Field(default_factory=list)
    load: Load | None = None
    int8: Int8 | None = None
    task: str | None = None
    metric: str | None = None
    objective: str | None = None
    criterion: str | None = None
    learning_rate: float | None = None
    epochs: Epochs | None = None
    kept: Kept | None = None
    findings: list[Finding] = Field(default_factory=list)
    recalibrated_metrics: list[Metrics] = Field(default_factory=list)
    equivalence: Equivalence
    onnx_max_absolute_error: float
    export_targets: list[ExportTarget] = Field(default_factory=list)
    accuracy_trials: list[AccuracyTrial] = Field(default_factory=list)
    baselines: list[Baseline] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


class ResultFile(Answer):
    """A file of a result."""

    id: str
    name: str
    media_type: str
    sha256: str
    num_bytes: int


class JobResult(Answer):
    """A job's result: the new version of the model, its files and its quality."""

    summary: Summary
    model: str
    version: str
    infer_url: str
    artifacts: list[ResultFile]
