"""What a job works on: its model, analysed, and its data set, checked to fit."""

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
    """What every stage needs.

    Attributes:
        request: What was asked for.
        reporter: Who wants to know.
        program: The dense network.
        analysis: Its channel groups.
        dataset: The samples, if any.
        reference: The dense network's outputs on them.
        device: Where networks are trained.
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
        """What the network would cost after pruning."""
        return CostModel(self.program, self.analysis)

    @cached_property
    def limits(self) -> SelectionOptions:
        """The limits of the config's selection, whatever its rule."""
        return selection_limits(self.request.config.selection)

    def selection(self, rule: Rule) -> SelectionOptions:
        """Return a rule within the limits of the config's selection."""
        return replace(self.limits, mode=rule)

    @property
    def objective(self) -> str | None:
        """What the network is retrained for; None where it is not."""
        retrain = self.request.config.retrain
        if self.dataset is None or retrain.epochs == 0:
            return None
        return objective_kind(retrain, self.dataset.labels_kind)

    @property
    def primary_metric(self) -> str | None:
        """The name of the metric that counts; None without samples."""
        if self.dataset is None:
            return None
        has_scores = bool(score_outputs(self.program))
        return primary_metric(self.dataset.labels_kind, has_scores=has_scores)

    def calibration(self) -> tuple[CalibrationBatch, ...] | None:
        """Return the samples that criteria look at, if there are any."""
        if self.dataset is None:
            return None
        num_samples = self.request.config.criterion.num_samples
        chosen = spread(self.dataset.indices(Split.TRAIN), num_samples)
        x, y = self.dataset.batch(chosen)
        # Criteria know the loss of classes; with other labels they measure the outputs' change.
        return (CalibrationBatch((x,), y if self.dataset.labels_kind == "classes" else None),)

    def recalibrated(self, program: Program) -> Program:
        """Return the program with BatchNorm statistics of the training samples."""
        if self.dataset is None:
            return program
        chosen = spread(self.dataset.indices(Split.TRAIN), NUM_RECALIBRATION_SAMPLES)
        parts = torch.split(chosen, _RECALIBRATION_BATCH)
        dataset = self.dataset
        return recalibrate(program, (dataset.batch(part)[0] for part in parts))

    def proof_batches(self) -> list[tuple[Tensor, ...]]:
        """Return the inputs on which certificates compare: random ones, and real ones if any."""
        return [self.program.example_inputs(_NUM_CHECKED), *self.real_batches()]

    def real_batches(self) -> list[tuple[Tensor, ...]]:
        """Return a few real samples, of the split that the final number is about."""
        if self.dataset is None:
            return []
        for split in (Split.TEST, Split.VALIDATION, Split.TRAIN):
            indices = self.dataset.indices(split)
            if len(indices) > 0:
                return [(self.dataset.batch(indices[:_NUM_CHECKED])[0],)]
        return []

    def training_data(self) -> TrainingData:
        """Return the samples that train and validate, on the job's device.

        Raises:
            DataError: None of them trains.
        """
        assert self.dataset is not None  # noqa: S101  # training is only asked for with samples
        train = self.dataset.indices(Split.TRAIN)
        if len(train) == 0:
            raise DataError("the data set has no training samples")
        validation = self.dataset.indices(Split.VALIDATION)
        source = self.dataset if self.device == CPU else OnDevice(self.dataset, self.device)
        return TrainingData(source, train, validation, self.dataset.labels_kind)

    def retrain_options(self) -> RetrainOptions:
        """Return how the config trains on this data set, but for epochs and learning rate."""
        assert self.dataset is not None  # noqa: S101  # training is only asked for with samples
        config = self.request.config
        return retrain_options(
            config.retrain, config.seed, self.dataset.labels_kind, self.dataset.pixel_range
        )

    def score(self, program: Program, split: Split, limit: int | None = None) -> Metrics | None:
        """Return how good a program is on a split, or some of its samples; None without any."""
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
        """Return how good a program is, for every split that is held out."""
        found = [(split, self.score(program, split)) for split in (Split.VALIDATION, Split.TEST)]
        reports = tuple(
            metrics_report(score, split, "torch") for split, score in found if score is not None
        )
        if program is self.program:  # it is what others are compared with
            return tuple(report.model_copy(update={"change": None}) for report in reports)
        return reports


def open_inputs(request: JobRequest, reporter: Reporter) -> Inputs:
    """Read the model strictly, analyse it, open the data set.

    Raises:
        ModelRejectedError: The model is refused.
        DataError: The data set is, or it does not fit the model or the objective.
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
    objective_kind(request.config.retrain, dataset.labels_kind)  # refused early
    for note in (*notes, *fit_notes):
        if note != NO_PREPROCESS:  # `check_sanity` says whether it is right
            reporter.warn(note)
    return Inputs(request, reporter, program, analysis, dataset, Reference(program), device)


def _scratch(request: JobRequest) -> Path:
    folder = request.output_dir.parent / "data"
    folder.mkdir(exist_ok=True)
    return folder
