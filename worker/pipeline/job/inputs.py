"""Inputs of a job: the analysed model and the data set that fits it."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from app.contracts.report import MetricsReport
from app.contracts.spec import NO_PREPROCESS
from secateur.engine.errors import DataError
from secateur.engine.graph import Analysis, analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.metrics import Metrics, Reference, evaluate, primary_metric
from secateur.engine.objectives.outputs import score_outputs
from secateur.engine.program.program import Program
from secateur.engine.retrain import RetrainOptions, TrainingData, recalibrate
from secateur.engine.saliency import CalibrationBatch
from secateur.engine.samples import spread
from secateur.engine.selection import SelectionOptions
from worker.messages import JobRequest
from worker.pipeline.data import Dataset, Split, open_dataset
from worker.pipeline.job.checks import check_fit
from worker.pipeline.job.device import CPU, OnDevice
from worker.pipeline.job.metrics import metrics_report
from worker.pipeline.job.model_files import read_model
from worker.pipeline.job.options import Rule, objective_kind, retrain_options, selection_limits
from worker.pipeline.job.reporter import Reporter

NUM_RECALIBRATION_SAMPLES = 2048
_NUM_CHECKED = 8  # samples of each kind that the certificate compares
_RECALIBRATION_BATCH = 256


@dataclass(frozen=True)
class Inputs:
    """Inputs shared by every stage.

    Attributes:
        request: The job request.
        reporter: Channel for progress and warnings.
        program: The dense network.
        analysis: Channel groups of the dense network.
        dataset: Samples and labels, if any.
        reference: Outputs of the dense network on the data set.
        device: Device for training.
    """

    request: JobRequest
    reporter: Reporter
    program: Program
    analysis: Analysis
    dataset: Dataset | None
    reference: Reference | None = None
    device: torch.device = CPU

    @cached_property
    def cost(self) -> CostModel:
        """Cost of the network as a function of the kept channels."""
        return CostModel(self.program, self.analysis)

    @cached_property
    def limits(self) -> SelectionOptions:
        """Limits of the config's selection, independent of its rule."""
        return selection_limits(self.request.config.selection)

    def selection(self, rule: Rule) -> SelectionOptions:
        """Return a rule within the limits of the config's selection."""
        return replace(self.limits, mode=rule)

    @property
    def objective(self) -> str | None:
        """Retraining objective; None without retraining."""
        retrain = self.request.config.retrain
        if self.dataset is None or retrain.epochs == 0:
            return None
        return objective_kind(retrain, self.dataset.labels_kind)

    @property
    def primary_metric(self) -> str | None:
        """Name of the primary metric; None without samples."""
        if self.dataset is None:
            return None
        has_scores = bool(score_outputs(self.program))
        return primary_metric(self.dataset.labels_kind, has_scores=has_scores)

    @property
    def num_training_samples(self) -> int:
        """Number of samples in the training split; 0 without a data set."""
        return 0 if self.dataset is None else len(self.dataset.indices(Split.TRAIN))

    def calibration(self) -> tuple[CalibrationBatch, ...] | None:
        """Return the calibration samples for criteria; None without a data set."""
        if self.dataset is None:
            return None
        num_samples = self.request.config.criterion.num_samples
        chosen = spread(self.dataset.indices(Split.TRAIN), num_samples)
        x, y = self.dataset.batch(chosen)
        # Criteria support only the classification loss; with other labels they measure the change
        # of the outputs.
        return (CalibrationBatch((x,), y if self.dataset.labels_kind == "classes" else None),)

    def recalibrated(self, program: Program) -> Program:
        """Return the program with BatchNorm statistics recomputed on training samples."""
        if self.dataset is None:
            return program
        chosen = spread(self.dataset.indices(Split.TRAIN), NUM_RECALIBRATION_SAMPLES)
        parts = torch.split(chosen, _RECALIBRATION_BATCH)
        dataset = self.dataset
        return recalibrate(program, (dataset.batch(part)[0] for part in parts))

    def proof_batches(self) -> list[tuple[Tensor, ...]]:
        """Return the inputs for equivalence certificates: random ones, and real ones if any."""
        return [self.program.example_inputs(_NUM_CHECKED), *self.real_batches()]

    def real_batches(self) -> list[tuple[Tensor, ...]]:
        """Return a few real samples, from the test split if there is one."""
        if self.dataset is None:
            return []
        for split in (Split.TEST, Split.VALIDATION, Split.TRAIN):
            indices = self.dataset.indices(split)
            if len(indices) > 0:
                return [(self.dataset.batch(indices[:_NUM_CHECKED])[0],)]
        return []

    def training_data(self) -> TrainingData:
        """Return the training and validation samples on the job's device.

        Raises:
            DataError: The training split is empty.
        """
        assert self.dataset is not None  # noqa: S101  # callers only ask with samples
        train = self.dataset.indices(Split.TRAIN)
        if len(train) == 0:
            raise DataError("the data set has no training samples")
        validation = self.dataset.indices(Split.VALIDATION)
        source = self.dataset if self.device == CPU else OnDevice(self.dataset, self.device)
        return TrainingData(source, train, validation, self.dataset.labels_kind)

    def retrain_options(self) -> RetrainOptions:
        """Return the training options for this data set, except epochs and learning rate."""
        assert self.dataset is not None  # noqa: S101  # callers only ask with samples
        config = self.request.config
        return retrain_options(
            config.retrain, config.seed, self.dataset.labels_kind, self.dataset.pixel_range
        )

    def score(self, program: Program, split: Split, limit: int | None = None) -> Metrics | None:
        """Return the metrics of a program on a split, or on ``limit`` samples; None without any."""
        if self.dataset is None:
            return None
        indices = self.dataset.indices(split)
        if limit is not None:
            indices = spread(indices, limit)
        if len(indices) == 0:
            return None
        kind = self.dataset.labels_kind
        return evaluate(program, self.dataset, indices, kind, self.reference)

    def metrics(self, program: Program) -> tuple[MetricsReport, ...]:
        """Return the metrics of a program on every held-out split."""
        found = [(split, self.score(program, split)) for split in (Split.VALIDATION, Split.TEST)]
        reports = tuple(
            metrics_report(score, split, "torch") for split, score in found if score is not None
        )
        if program is self.program:  # the reference has no change from itself
            return tuple(report.model_copy(update={"change": None}) for report in reports)
        return reports


def open_inputs(request: JobRequest, reporter: Reporter) -> Inputs:
    """Validate and analyse the model, and open the data set.

    Raises:
        ModelRejectedError: The model is refused.
        DataError: The data set is refused, or does not fit the model or the objective.
    """
    program, device = (
        read_model(request.require_model(), request.limits),
        torch.device(request.device),
    )
    analysis = analyse(program)
    if request.dataset is None:
        if request.config.retrain.epochs != 0:
            reporter.warn("no data set was given: the pruned network is not retrained")
        return Inputs(request, reporter, program, analysis, None, device=device)
    image_shape = program.inputs[0].shape[1:]
    dataset = open_dataset(
        request.dataset.path,
        request.dataset.format,
        request.dataset.preprocess,
        _scratch(request),
        limits=request.limits,
        image_shape=tuple(size for size in image_shape if size is not None),
        split=request.config.split,
    ).with_validation(request.config.split)
    notes = dataset.notes
    dataset, fit_notes = check_fit(program, dataset, request.config.retrain.objective)
    objective_kind(request.config.retrain, dataset.labels_kind)  # raises early
    for note in (*notes, *fit_notes):
        if note != NO_PREPROCESS:  # `check_sanity` reports this one
            reporter.warn(note)
    return Inputs(request, reporter, program, analysis, dataset, Reference(program), device)


def _scratch(request: JobRequest) -> Path:
    folder = request.output_dir.parent / "data"
    folder.mkdir(exist_ok=True)
    return folder
