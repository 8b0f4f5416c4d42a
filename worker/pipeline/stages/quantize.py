"""Quantize: search for an int8 file of the exported network that keeps its promise and is faster.

A network without one is a result like any other: the report says why, and the job succeeds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from app.contracts.precision_spec import PrecisionSpec
from secateur.engine.errors import DataError, ExportError
from secateur.engine.export.onnx import ONNX
from secateur.engine.export.session import OnnxSession
from secateur.engine.metrics import METRICS, Metrics, Reference, fitting_batch
from secateur.engine.quantize import (
    Quality,
    Quantized,
    QuantizeOptions,
    Run,
    TargetName,
    find_types,
    quantize,
    this_cpu,
)
from secateur.engine.samples import spread
from worker.pipeline.data import Split
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.reporter import Reporter
from worker.pipeline.job.results import INT8_ONNX, Exported, Int8
from worker.pipeline.job.served import served_metrics, served_score

_BATCH = 32
_MOST_JUDGED = 4096  # validation samples for every file that is tried


def quantize_exported(inputs: Inputs, exported: Exported) -> Int8 | None:
    """Write the int8 file, if there is one; None if the config does not ask for it."""
    spec = inputs.request.config.precision
    if spec.kind != "int8":
        return None
    folder = inputs.request.output_dir
    source, path = folder / ONNX.file, folder / INT8_ONNX
    serving = _serving_target(inputs)
    target: TargetName = serving if spec.target == "auto" else spec.target
    options = QuantizeOptions(
        max_drop=spec.max_drop,
        target=target,
        must_be_faster=target == serving,
        num_threads=inputs.request.serving_num_threads,
        seconds=inputs.request.latency_seconds,
    )
    steps = _Steps(inputs.reporter)
    judge = _Judge(inputs, exported, steps)
    samples = _Samples(inputs, spec, steps)
    try:
        found = quantize(
            source,
            path,
            samples,
            judge=judge if judge.has_samples else None,
            options=options,
            progress=steps.report,
        )
    except (ExportError, DataError, MemoryError) as error:
        found = _impossible(error, spec, target)
    if not found.is_kept:
        return Int8(found, is_served=False)
    steps.report(1, 1, "measuring the int8 file")
    session = OnnxSession(path)
    return Int8(
        found,
        is_served=target == serving,
        agreement=judge.agreement(session),
        metrics=served_metrics(inputs, exported.program, session),
    )


def _serving_target(inputs: Inputs) -> TargetName:
    named = inputs.request.serving_cpu
    return this_cpu() if named == "auto" else named


def _impossible(error: Exception, spec: PrecisionSpec, target: TargetName) -> Quantized:
    """Return the result for a network that cannot be quantised at all."""
    cause = "memory ran out" if isinstance(error, MemoryError) else str(error)
    types = find_types(target)
    return Quantized(
        is_kept=False, reason=f"No int8 file: {cause}.", types=types, max_drop=spec.max_drop
    )


@dataclass
class _Steps:
    """Progress of the search, repeated while samples are read: a long pass is not a stalled one."""

    reporter: Reporter
    last: tuple[int, int, str] = (0, 1, "")

    def report(self, step: int, num_steps: int, message: str) -> None:
        self.last = step, num_steps, message
        self.reporter.progress(step, num_steps, message, is_forced=True)

    def repeat(self) -> None:
        self.reporter.progress(*self.last)


@dataclass(frozen=True)
class _Samples:
    """Training samples in batches, preprocessed; read again for every pass."""

    inputs: Inputs
    spec: PrecisionSpec
    steps: _Steps

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        dataset = self.inputs.dataset
        assert dataset is not None  # noqa: S101  # int8 needs samples
        chosen = spread(dataset.indices(Split.TRAIN), self.spec.num_samples)
        size = min(_BATCH, fitting_batch(self.inputs.program))
        for part in chosen.split(size):
            self.steps.repeat()
            yield (dataset.batch(part)[0],)


@dataclass
class _Judge:
    """Judge of files on validation samples: by their labels, or by the fp32 network's outputs."""

    inputs: Inputs
    exported: Exported
    steps: _Steps
    _reference: Reference = field(init=False)

    def __post_init__(self) -> None:
        self._reference = Reference(self.exported.program)

    @property
    def has_samples(self) -> bool:
        dataset = self.inputs.dataset
        return dataset is not None and len(dataset.indices(Split.VALIDATION)) > 0

    def __call__(self, run: Run) -> Quality:
        found = self._metrics(run)
        assert found is not None  # noqa: S101  # the caller has looked for samples
        value = found.values[found.primary]
        score = METRICS[found.primary].score(value)
        return Quality(found.primary, value, score, found.num_samples)

    def agreement(self, run: Run) -> float | None:
        """Return the share of samples with the same best classes as the fp32 network's."""
        found = self._metrics(run)
        return None if found is None else found.values.get("agreement")

    def _metrics(self, run: Run) -> Metrics | None:
        def counted(batch: Sequence[Tensor]) -> list[Tensor]:
            self.steps.repeat()
            return run(batch)

        return served_score(
            self.inputs,
            self.exported.program,
            counted,
            Split.VALIDATION,
            self._reference,
            limit=_MOST_JUDGED,
        )
