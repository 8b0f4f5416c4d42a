"""What a job works on: its model, analysed, and its data set, checked to fit."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from app.contracts.report import MetricsReport
from app.contracts.spec import PreprocessSpec
from worker.engine.graph import Analysis, analyse
from worker.engine.program.architectures import Architecture, read_weights
from worker.engine.program.program import Program
from worker.engine.program.reader import read_program
from worker.engine.retrain import evaluate
from worker.engine.saliency import CalibrationBatch
from worker.pipeline.checks import check_fit
from worker.pipeline.data import Dataset, Split, open_dataset
from worker.pipeline.describe import finite
from worker.pipeline.reporter import Reporter
from worker.protocol import JobRequest

_NUM_CHECKED = 8  # samples of each kind that the certificate compares
_NUM_RECALIBRATION_SAMPLES = 2048
_RECALIBRATION_BATCH = 256


@dataclass(frozen=True)
class Inputs:
    """What every stage needs."""

    request: JobRequest
    reporter: Reporter
    program: Program
    analysis: Analysis
    dataset: Dataset | None

    def calibration(self) -> tuple[CalibrationBatch, ...] | None:
        """Return the samples that criteria look at, if there are any."""
        if self.dataset is None:
            return None
        chosen = self.dataset.indices(Split.TRAIN)[: self.request.config.criterion.num_samples]
        x, y = self.dataset.batch(chosen)
        return (CalibrationBatch((x,), y),)

    def recalibration(self) -> list[Tensor]:
        """Return the batches that BatchNorm statistics are measured on."""
        if self.dataset is None:
            return []
        chosen = self.dataset.indices(Split.TRAIN)[:_NUM_RECALIBRATION_SAMPLES]
        return [self.dataset.batch(part)[0] for part in torch.split(chosen, _RECALIBRATION_BATCH)]

    def random_batch(self) -> tuple[Tensor, ...]:
        """Return random inputs for the certificate."""
        return self.program.example_inputs(_NUM_CHECKED)

    def real_batches(self) -> list[tuple[Tensor, ...]]:
        """Return a few real samples, of the split that the final number is about."""
        if self.dataset is None:
            return []
        has_test = len(self.dataset.indices(Split.TEST)) > 0
        split = Split.TEST if has_test else Split.VALIDATION
        return [(self.dataset.batch(self.dataset.indices(split)[:_NUM_CHECKED])[0],)]

    def metrics(self, program: Program) -> tuple[MetricsReport, ...]:
        """Return how good a program is, for every split that is held out."""
        if self.dataset is None:
            return ()
        reports: list[MetricsReport] = []
        for split in (Split.VALIDATION, Split.TEST):
            indices = self.dataset.indices(split)
            if len(indices) == 0:
                continue
            found = evaluate(program, self.dataset, indices)
            reports.append(
                MetricsReport(
                    split="test" if split is Split.TEST else "validation",
                    top1=found.top1,
                    loss=finite(found.loss),
                    num_samples=found.num_samples,
                    runtime="torch",
                )
            )
        return tuple(reports)


def read_model(request: JobRequest) -> Program:
    """Return the program of the request's model file.

    Raises:
        ModelRejectedError: It is refused.
    """
    assert request.model_path is not None  # noqa: S101  # the supervisor always gives one
    if request.architecture is None:
        return read_program(request.model_path)
    architecture = Architecture(**request.architecture.model_dump())
    return read_weights(request.model_path, architecture)


def open_inputs(request: JobRequest, reporter: Reporter) -> Inputs:
    """Read the model strictly, analyse it, open the data set.

    Raises:
        ModelRejectedError: The model is refused.
        DataError: The data set is, or it does not fit the model.
    """
    program = read_model(request)
    dataset = None
    if request.dataset_path is not None and request.dataset_format is not None:
        image_shape = program.inputs[0].shape[1:]
        dataset = open_dataset(
            request.dataset_path,
            request.dataset_format,
            request.preprocess or PreprocessSpec(),
            _scratch(request),
            image_pixels=request.image_pixels,
            image_shape=tuple(size for size in image_shape if size is not None),
        )
        check_fit(program, dataset)
    elif request.config.retrain.epochs > 0:
        reporter.warn("no data set was given: the pruned network is not retrained")
    return Inputs(request, reporter, program, analyse(program), dataset)


def _scratch(request: JobRequest) -> Path:
    folder = request.output_dir.parent / "data"
    folder.mkdir(exist_ok=True)
    return folder
