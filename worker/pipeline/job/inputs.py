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
from secateur.engine.metrics import Metrics, Reference, evaluate, fitting_batch, primary_metric
from secateur.engine.objectives.outputs import score_outputs
from secateur.engine.program.program import Program
from secateur.engine.retrain import RetrainOptions, TrainingData, recalibrate
from secateur.engine.saliency import CalibrationBatch
from secateur.engine.samples import SampleSource, spread
from secateur.engine.selection import SelectionOptions
from secateur.engine.surgery import num_certified
from worker.messages import JobRequest
from worker.pipeline.data import Dataset, Split, open_dataset
from worker.pipeline.job.batches import Batches
from worker.pipeline.job.checks import check_fit
from worker.pipeline.job.chosen import CUSTOM, ChosenTask
from worker.pipeline.job.device import CPU, OnDevice, peak_reader, start_device
from worker.pipeline.job.metrics import metrics_report
from worker.pipeline.job.model_files import read_model
from worker.pipeline.job.options import Rule, objective_kind, retrain_options, selection_limits
from worker.pipeline.job.reporter import Reporter
from worker.pipeline.job.scored import Scored

NUM_RECALIBRATION_SAMPLES = 2048
_NUM_CHECKED = 8  # samples of each kind that the certificate compares, at most
_RECALIBRATION_BATCH = _EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Inputs:
    """Inputs shared by every stage.

    Attributes:
        request: The job request.
        reporter: Channel for progress and warnings.
        program: The dense network.
        analysis: Channel groups of the dense network.
        dataset: Samples and labels, if any.
        device: Device that computes; networks are on the CPU in between.
        chosen: The task, and the form of the outputs.
    """

    request: JobRequest
    reporter: Reporter
    program: Program
    analysis: Analysis
    dataset: Dataset | None
    device: torch.device = CPU
    chosen: ChosenTask = CUSTOM

    @cached_property
    def source(self) -> SampleSource:
        """The data set on the job's device."""
        assert self.dataset is not None  # noqa: S101  # callers only ask with samples
        return self.dataset if self.device == CPU else OnDevice(self.dataset, self.device)

    @cached_property
    def batches(self) -> Batches:
        """The batch sizes that fit into memory."""
        return Batches(self.device, self.reporter.warn)

    def on_device(self, program: Program) -> Program:
        """Return a program on the job's device; the report names the device for this stage."""
        self.reporter.note_device(self.device.type)
        if self.device == CPU:
            return program
        return self._dense_there if program is self.program else program.to(self.device)

    @cached_property
    def _dense_there(self) -> Program:
        return self.program.to(self.device)

    @cached_property
    def reference(self) -> Reference | None:
        """Outputs of the dense network on the data set; None without one."""
        return None if self.dataset is None else Reference(self.on_device(self.program))

    @cached_property
    def _scored(self) -> Scored:
        return Scored()

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
        return objective_kind(retrain, self.dataset.labels_kind, self.chosen.task)

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

    def calibration(self, batch_size: int) -> tuple[CalibrationBatch, ...] | None:
        """Return the calibration samples for criteria, on the device; None without a data set."""
        if self.dataset is None:
            return None
        num_samples = self.request.config.criterion.num_samples
        chosen = spread(self.dataset.indices(Split.TRAIN), num_samples)
        # Criteria support only the classification loss; with other labels they measure the change
        # of the outputs.
        has_classes = self.dataset.labels_kind == "classes"
        batches = map(self.source.batch, chosen.split(batch_size))
        return tuple(CalibrationBatch((x,), y if has_classes else None) for x, y in batches)

    def recalibrated(self, program: Program) -> Program:
        """Return the program with BatchNorm statistics recomputed on training samples."""
        if self.dataset is None:
            return program
        chosen = spread(self.dataset.indices(Split.TRAIN), NUM_RECALIBRATION_SAMPLES)
        there = self.on_device(program)

        def measure(size: int) -> Program:
            return recalibrate(there, (self.source.batch(part)[0] for part in chosen.split(size)))

        found = self.batches.run("recalibration", _RECALIBRATION_BATCH, measure)
        return program if found is there else found.to(CPU)

    def proof_batches(self) -> list[tuple[Tensor, ...]]:
        """Return the inputs for equivalence certificates: random ones, and real ones if any."""
        most = num_certified(self.program, _NUM_CHECKED)
        return [self.program.example_inputs(most), *self.real_batches(most)]

    def real_batches(self, num_samples: int = _NUM_CHECKED) -> list[tuple[Tensor, ...]]:
        """Return a few real samples, from the test split if there is one."""
        if self.dataset is None:
            return []
        for split in (Split.TEST, Split.VALIDATION, Split.TRAIN):
            indices = self.dataset.indices(split)
            if len(indices) > 0:
                return [(self.dataset.batch(indices[:num_samples])[0],)]
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
        self.reporter.note_device(self.device.type)
        kind, reading = self.dataset.labels_kind, self.chosen.reading
        return TrainingData(self.source, train, validation, kind, reading)

    def retrain_options(self) -> RetrainOptions:
        """Return the training options for this data set, except epochs and learning rate."""
        assert self.dataset is not None  # noqa: S101  # callers only ask with samples
        config = self.request.config
        return retrain_options(
            config.retrain,
            config.seed,
            self.dataset.labels_kind,
            self.dataset.pixel_range,
            self.chosen,
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
        kind, there = self.dataset.labels_kind, self.on_device(program)
        reading = self.chosen.reading
        return self._scored.of(
            program,
            indices,
            lambda: self.batches.run(
                "evaluation",
                min(_EVALUATION_BATCH, fitting_batch(program)),
                lambda size: evaluate(
                    there, self.source, indices, kind, self.reference, size, reading
                ),
            ),
        )

    def metrics(self, program: Program) -> tuple[MetricsReport, ...]:
        """Return the metrics of a program on every held-out split."""
        names = () if self.dataset is None else self.dataset.class_names
        found = [(split, self.score(program, split)) for split in (Split.VALIDATION, Split.TEST)]
        reports = tuple(
            metrics_report(score, split, "torch", names)
            for split, score in found
            if score is not None
        )
        if program is self.program:  # the reference has no change from itself
            return tuple(report.model_copy(update={"change": None}) for report in reports)
        return reports


def open_inputs(request: JobRequest, reporter: Reporter) -> Inputs:
    """Validate and analyse the model, and open the data set.

    Raises:
        DeviceUnavailableError: The worker's device does not compute.
        ModelRejectedError: The model is refused.
        DataError: The data set is refused, or does not fit the model or the objective.
    """
    device = start_device(request.device)
    reporter.read_peak = peak_reader(device)
    program = read_model(request.require_model(), request.limits)
    has_exact_norms = request.config.selection.norms == "exact"
    analysis = analyse(program, has_exact_norms=has_exact_norms)
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
        task=request.config.task,
    ).with_validation(request.config.split)
    notes = dataset.notes
    dataset, chosen, fit_notes = check_fit(program, dataset, request.config)
    pixels = dataset.pixel_range
    retrain_options(request.config.retrain, 0, dataset.labels_kind, pixels, chosen)  # raises early
    for note in (*notes, *fit_notes):
        if note != NO_PREPROCESS:  # `check_sanity` reports this one
            reporter.warn(note)
    return Inputs(request, reporter, program, analysis, dataset, device, chosen)


def _scratch(request: JobRequest) -> Path:
    folder = request.output_dir.parent / "data"
    folder.mkdir(exist_ok=True)
    return folder
