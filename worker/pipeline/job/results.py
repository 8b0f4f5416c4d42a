"""Results of the stages, each produced by one stage and read by later ones."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from app.contracts.report import (
    AccuracyTrial,
    CriterionTrial,
    CutReport,
    EpochsReport,
    ExportTargetReport,
    LatencyReport,
    LoadReport,
    MetricsReport,
    RepairReport,
    SpeedupReport,
    TargetReport,
)
from secateur.engine.latency import Precision
from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.quantize import Quantized
from secateur.engine.ramp import RampedCuts
from secateur.engine.retrain import EpochRecord
from secateur.engine.retrain.range_test import RangeTest
from secateur.engine.surgery import Audit, Certificate
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.kept import Kept

INT8_ONNX = "model_int8.onnx"


@dataclass(frozen=True)
class Scores:
    """Saliencies of the dense network's channel groups, from the stage saliency.

    Attributes:
        by_family: (num_groups,) for every family.
        criterion: Criterion in use; with ``auto``, the chosen one.
        trials: Criteria that ``auto`` compared.
        agreement: Spearman's rho of each criterion with the exact loss, if requested.
    """

    by_family: dict[str, Tensor]
    criterion: str
    trials: tuple[CriterionTrial, ...] = ()
    agreement: dict[str, float] | None = None


@dataclass(frozen=True)
class Choice:
    """The plan and how it was found, from the stage select.

    Attributes:
        plan: Channel groups to keep; with an iterative schedule, after the first cut.
        scores: Saliencies that the plan is based on.
        cuts: Later cuts of an iterative schedule.
        latency_trials: Shares of the dense latency: (requested of the model, measured).
        accuracy_trials: Trials of a search.
        target: The device whose latencies decided, and the prediction for it.
        trial_precisions: Precision that was faster, of each latency trial.
    """

    plan: Plan
    scores: Scores
    cuts: RampedCuts | None = None
    latency_trials: tuple[tuple[float, float], ...] = ()
    accuracy_trials: tuple[AccuracyTrial, ...] = ()
    target: TargetReport | None = None
    trial_precisions: tuple[Precision, ...] = ()


@dataclass(frozen=True)
class Untrained:
    """The pruned network before training, from the stage prune.

    Attributes:
        program: Compacted network with the dense network's weights and statistics.
        audit: Equivalence of every part of the plan.
        metrics: Metrics of the program.
        recalibrated_metrics: Metrics with re-measured BatchNorm statistics.
    """

    program: Program
    audit: Audit
    metrics: tuple[MetricsReport, ...]
    recalibrated_metrics: tuple[MetricsReport, ...]


@dataclass(frozen=True)
class Repaired:
    """The pruned network with refitted weights, from the stage repair.

    Attributes:
        program: Compacted network.
        report: What was solved for.
        metrics: Metrics of the program.
    """

    program: Program
    report: RepairReport
    metrics: tuple[MetricsReport, ...]


@dataclass(frozen=True)
class Trained:
    """A pruned network after training, from the stage retrain.

    Attributes:
        kept: Best network of the run.
        plan: Channel groups kept of the dense network; with an iterative schedule, after the last
            cut.
        history: One record per epoch.
        learning_rate: Peak of the schedule; None without training.
        range_test: Range test that found the learning rate, if it was not given.
        cuts: Steps and targets of the cuts of an iterative schedule.
        epochs: Number of planned epochs, and its reason; None without training.
        num_unfolded: Convolutions that had a BatchNorm during training only.
    """

    kept: Kept
    plan: Plan
    history: tuple[EpochRecord, ...] = ()
    learning_rate: float | None = None
    range_test: RangeTest | None = None
    cuts: tuple[CutReport, ...] = ()
    epochs: EpochsReport | None = None
    num_unfolded: int = 0

    @property
    def program(self) -> Program:
        """The final network, compacted."""
        return self.kept.chosen.program


@dataclass(frozen=True)
class Baseline:
    """A baseline after training, from the stage retrain."""

    kind: Literal["random", "scratch"]
    trained: Trained


@dataclass(frozen=True)
class Verified:
    """Certificate and metrics of the trained network, from the stage verify."""

    certificate: Certificate
    metrics: tuple[MetricsReport, ...]


@dataclass(frozen=True)
class Times:
    """Speedups of the pruned network, and the machine's load during the measurement."""

    speedups: tuple[SpeedupReport, ...]
    load: LoadReport


@dataclass(frozen=True)
class OnnxFile:
    """Size and latency of an ONNX file."""

    num_bytes: int = 0
    latencies: tuple[LatencyReport, ...] = ()


@dataclass(frozen=True)
class Exported:
    """The exported network, from the stage export; defaults mean that ONNX was not requested.

    Attributes:
        program: Trained network in the types that its file stores.
        dense: ONNX file of the dense network.
        served: ONNX file that the service serves.
        onnx_error: Largest difference between the network and its ONNX file.
        times: Speedup of the served file.
        metrics: Metrics of the served file, in ONNX Runtime.
        targets: Export targets of the config.
    """

    program: Program
    dense: OnnxFile = OnnxFile()
    served: OnnxFile = OnnxFile()
    onnx_error: float | None = None
    times: Times | None = None
    metrics: tuple[MetricsReport, ...] = ()
    targets: tuple[ExportTargetReport, ...] = ()


@dataclass(frozen=True)
class Int8:
    """Int8 file of the exported network, or why there is none, from the stage quantize.

    Attributes:
        found: Result of the search.
        is_served: Whether the service serves the file.
        agreement: Share of validation samples with the same best class as the fp32 network's; None
            without classes, or without a file.
        metrics: Metrics of the file, in ONNX Runtime.
    """

    found: Quantized
    is_served: bool
    agreement: float | None = None
    metrics: tuple[MetricsReport, ...] = ()


@dataclass(frozen=True)
class Results:
    """Everything that the report is based on."""

    inputs: Inputs
    choice: Choice
    dense_metrics: tuple[MetricsReport, ...]
    untrained: Untrained
    repaired: Repaired | None
    trained: Trained
    baselines: tuple[Baseline, ...]
    verified: Verified
    exported: Exported
    int8: Int8 | None = None
