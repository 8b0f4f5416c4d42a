"""Results of the stages, each produced by one stage and read by later ones."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from app.contracts.report import (
    AccuracyTrial,
    CriterionTrial,
    CutReport,
    EpochsReport,
    LatencyReport,
    LoadReport,
    MetricsReport,
    SpeedupReport,
)
from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.ramp import RampedCuts
from secateur.engine.retrain import EpochRecord
from secateur.engine.retrain.range_test import RangeTest
from secateur.engine.surgery import Audit, Certificate
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.kept import Kept


@dataclass(frozen=True)
class Scores:
    """Saliencies of the dense network's channel groups, from the stage saliency.

    Attributes:
        by_family: (num_groups,) for every family.
        criterion: The criterion; with ``auto``, the one that was chosen.
        trials: The criteria that ``auto`` compared.
        agreement: Spearman's rho of each criterion with the exact loss, where asked for.
    """

    by_family: dict[str, Tensor]
    criterion: str
    trials: tuple[CriterionTrial, ...] = ()
    agreement: dict[str, float] | None = None


@dataclass(frozen=True)
class Choice:
    """The plan and how it was found, from the stage select.

    Attributes:
        plan: What is kept; with an iterative schedule, after the first cut.
        scores: The saliencies that the plan was made from.
        cuts: The later cuts of an iterative schedule.
        latency_trials: Shares of the dense latency: (requested of the model, measured).
        accuracy_trials: The trials of a search.
    """

    plan: Plan
    scores: Scores
    cuts: RampedCuts | None = None
    latency_trials: tuple[tuple[float, float], ...] = ()
    accuracy_trials: tuple[AccuracyTrial, ...] = ()


@dataclass(frozen=True)
class Untrained:
    """The pruned network before training, from the stage prune.

    Attributes:
        program: Compacted, with the dense network's weights and statistics.
        audit: The equivalence of every part of the plan.
        metrics: Scores of the program.
        recalibrated_metrics: Scores with BatchNorm statistics measured again.
    """

    program: Program
    audit: Audit
    metrics: tuple[MetricsReport, ...]
    recalibrated_metrics: tuple[MetricsReport, ...]


@dataclass(frozen=True)
class Trained:
    """A pruned network after training, from the stage retrain.

    Attributes:
        kept: The best network of the run.
        plan: What is kept of the dense network; with an iterative schedule, after the last cut.
        history: One record an epoch.
        learning_rate: The peak of the schedule; None without training.
        range_test: How the learning rate was found, if it was not given.
        cuts: When an iterative schedule cut, and what each cut left.
        epochs: How many epochs were planned, and why; None without training.
    """

    kept: Kept
    plan: Plan
    history: tuple[EpochRecord, ...] = ()
    learning_rate: float | None = None
    range_test: RangeTest | None = None
    cuts: tuple[CutReport, ...] = ()
    epochs: EpochsReport | None = None

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
    """The proof and the scores of the trained network, from the stage verify."""

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
    """The exported network, from the stage export; the defaults mean that ONNX was not asked for.

    Attributes:
        program: The trained network in the types that its file stores.
        dense: The dense network's ONNX file.
        served: The ONNX file that the service serves.
        onnx_error: The largest difference between the network and its ONNX file.
        times: How much faster the served file is.
        metrics: Scores of the served file, in ONNX Runtime.
    """

    program: Program
    dense: OnnxFile = OnnxFile()
    served: OnnxFile = OnnxFile()
    onnx_error: float | None = None
    times: Times | None = None
    metrics: tuple[MetricsReport, ...] = ()


@dataclass(frozen=True)
class Results:
    """Everything that the report is made from."""

    inputs: Inputs
    choice: Choice
    dense_metrics: tuple[MetricsReport, ...]
    untrained: Untrained
    trained: Trained
    baselines: tuple[Baseline, ...]
    verified: Verified
    exported: Exported
