"""The export targets of a job: which ones, and their files, comparisons and latencies."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from torch import Tensor

from app.contracts.installation import Extra, how_to_install
from app.contracts.report import ExportTargetReport, Finding, LatencyReport, SpeedupReport
from app.contracts.spec import ExportSpec, PreprocessSpec
from secateur.engine.errors import ExportError
from secateur.engine.export.at_opset import write_at_opset
from secateur.engine.export.onnx import ONNX
from secateur.engine.export.opsets import own_opset
from secateur.engine.export.pt2 import PT2
from secateur.engine.export.targets.build import (
    Agreement,
    Opened,
    build_files,
    compare_outputs,
    missing_modules,
)
from secateur.engine.export.targets.snippet import write_snippet
from secateur.engine.export.targets.target import Preprocess, Source, Target
from secateur.engine.export.targets.targets import TARGETS
from secateur.engine.measure import Latency, time_beside
from secateur.engine.program.program import Program
from worker.pipeline.job.dense_onnx import DENSE_ONNX
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.report.describe import latency_reports, speedup_reports

_BATCH_SIZES = (1, 8)
_NUM_COMPARED = 32  # real samples
_IMAGE_RANK, _BYTE_SCALE = 4, 1 / 255


def chosen_targets(export: ExportSpec) -> tuple[Target, ...]:
    """Return the targets of a config; an opset alone means ONNX Runtime."""
    names = list(export.targets)
    if export.opset is not None and "onnx" not in names:
        names.insert(0, "onnx")
    return tuple(TARGETS[name] for name in names)


def rehearse_targets(inputs: Inputs) -> None:
    """Build every target of the dense network, so that one that cannot be fails before training.

    Raises:
        ExportError: A target cannot express the network, or computes something else.
    """
    request, dense = inputs.request, inputs.request.output_dir.parent / DENSE_ONNX
    targets = chosen_targets(request.config.export)
    if not targets:
        return
    with tempfile.TemporaryDirectory(dir=request.output_dir.parent) as home:
        shutil.copyfile(dense, Path(home) / ONNX.file)
        folder = _folder(inputs, inputs.program, Path(home))
        for number, target in enumerate(targets):
            message = f"trying {target.title}"
            inputs.reporter.progress(number, len(targets), message, is_forced=True)
            try:
                folder.build(target, [inputs.program.example_inputs(3, seed=3)])
            except ExportError as error:
                hint = error.hint or f"Leave {target.name!r} out of export.targets."
                raise ExportError(str(error), hint=hint) from error


def export_targets(inputs: Inputs, program: Program) -> tuple[ExportTargetReport, ...]:
    """Write, compare and time the targets of the config; leave out those that do not agree."""
    request, reporter = inputs.request, inputs.reporter
    targets = chosen_targets(request.config.export)
    folder = _folder(inputs, program, request.output_dir)
    batches = [*inputs.real_batches(_NUM_COMPARED), program.example_inputs(3)]
    reports = []
    for number, target in enumerate(targets):
        reporter.progress(number, len(targets), f"writing {target.title}", is_forced=True)
        try:
            report = folder.build(target, batches)
            reports.append(folder.measure(target, report, request.latency_seconds))
        except ExportError as error:
            reports.append(_refused(target, str(error)))
            message = f"{target.title} was left out of the result: {error}"
            reporter.find(Finding(code="target_refused", severity="serious", message=message))
    return tuple(reports)


def _folder(inputs: Inputs, program: Program, path: Path) -> "TargetFolder":
    data = inputs.dataset
    spec = PreprocessSpec() if data is None else data.preprocess
    export, num_threads = inputs.request.config.export, inputs.request.serving_num_threads
    return TargetFolder(program, path, export, read_preprocess(program, spec), num_threads)


def _refused(target: Target, reason: str) -> ExportTargetReport:
    return ExportTargetReport(
        name=target.name,
        title=target.title,
        files=(),
        num_bytes=0,
        script=None,
        precision=target.precision,
        refusal=reason,
    )


def require_installed(targets: Sequence[Target]) -> None:
    """Check that the packages of the targets are installed on this worker.

    Raises:
        ExportError: One is missing.
    """
    for target in targets:
        missing = missing_modules(target)
        if missing:
            extra: Extra = target.name  # type: ignore[assignment]  # scripts need no modules
            raise ExportError(
                f"export.targets has {target.name!r}, and this worker has no {missing[0]}",
                hint=f"Run on the worker: {how_to_install(extra)}; or leave {target.name!r} out of "
                "export.targets.",
            )


def read_preprocess(program: Program, spec: PreprocessSpec) -> Preprocess | None:
    """Return how images become a network's input; None if it takes no images."""
    (first, *others), shape = program.inputs, program.inputs[0].shape
    is_image = len(shape) == _IMAGE_RANK and shape[1] in {1, 3}
    if others or not is_image or not first.dtype.is_floating_point:
        return None
    _, num_channels, height, width = shape
    if height is None or width is None or len(spec.mean) not in {1, num_channels}:
        return None
    return Preprocess(
        size=(height, width),
        num_channels=num_channels or 1,
        fit=spec.fit or "stretch",
        scale=_BYTE_SCALE if spec.scale is None else spec.scale,
        mean=spec.mean,
        std=spec.std,
        is_given=spec.is_given,
    )


@dataclass(frozen=True)
class TargetFolder:
    """Writes the targets of one network to a folder that has its ``model.onnx``.

    Attributes:
        program: The network, in the types that its files store.
        folder: The folder.
        export: The config's part about files.
        preprocess: How images become its input; None if it takes no images.
        num_threads: Threads of a call.
    """

    program: Program
    folder: Path
    export: ExportSpec
    preprocess: Preprocess | None
    num_threads: int = 1

    def build(self, target: Target, batches: Sequence[tuple[Tensor, ...]]) -> ExportTargetReport:
        """Write the files of a target and compare it with the network.

        Raises:
            ExportError: The target cannot express the network, or computes something else; none of
                its own files is left.
        """
        try:
            return self._build(target, batches)
        except ExportError:
            for name in (*_names(target), target.script):
                (self.folder / name).unlink(missing_ok=True)
            raise

    def measure(
        self, target: Target, report: ExportTargetReport, seconds: float
    ) -> ExportTargetReport:
        """Return the report of a target with its latencies, timed in turns with ``model.onnx``."""
        if target.load is None:
            return report
        opened = self._open(target, report)
        latencies: list[LatencyReport] = []
        speedups: list[SpeedupReport] = []
        for batch_size in _BATCH_SIZES if target.is_batched else _BATCH_SIZES[:1]:
            like = Latency(batch_size, self.num_threads, target.title, 0, 0, 0)
            path, inputs = self.folder / ONNX.file, self.program.inputs
            latency, speedup = time_beside(path, opened, inputs, like, seconds)
            latencies += latency_reports([latency])
            speedups += speedup_reports([speedup], [latency])
        update = {"latency_seconds": tuple(latencies), "speedups": tuple(speedups)}
        return report.model_copy(update=update)

    def _build(self, target: Target, batches: Sequence[tuple[Tensor, ...]]) -> ExportTargetReport:
        path, opset = self._onnx(target)
        source = Source(self.program, path)
        if target.reads_pt2 and not (self.folder / source.pt2).exists():  # a rehearsal has none
            PT2.write(self.program, self.folder / source.pt2)
        build_files(target, source, self.folder)
        files = _names(target) if target.files else self._read_by(target, path)
        report = ExportTargetReport(
            name=target.name,
            title=target.title,
            files=files,
            num_bytes=sum(path.stat().st_size for path in map(self.folder.joinpath, files)),
            script=target.script,
            opset=None if target.files else opset,
            precision=target.precision,
        )
        if target.write_script is not None:
            script = target.write_script(source, self.preprocess)
        else:
            script = write_snippet(target, source, self.preprocess, files[0])
            opened = self._open(target, report)
            found = compare_outputs(opened, self.program, batches)
            report = report.model_copy(update=_compared(found))
        (self.folder / target.script).write_text(script)
        return report

    def _open(self, target: Target, report: ExportTargetReport) -> Opened:
        return Opened(target, self.folder / report.files[0], self.program, self.num_threads)

    def _onnx(self, target: Target) -> tuple[Path, int]:
        """Return the ONNX file of a target and its opset; write it if its opset is another."""
        own = self.folder / ONNX.file
        opset = newest = own_opset(onnx.load(own, load_external_data=False))
        opset = min(self.export.opset or newest, target.opset or self.export.opset or newest)
        if opset == newest:
            return own, opset
        path = self.folder / f"model_opset{opset}.onnx"
        if not path.exists():
            write_at_opset(self.program, opset, own, path)
        return path, opset

    def _read_by(self, target: Target, path: Path) -> tuple[str, ...]:
        """Return the files that a script reads."""
        return (Source(self.program, path).pt2,) if target.reads_pt2 else (path.name,)


def _names(target: Target) -> tuple[str, ...]:
    return tuple(file.name for file in target.files)


def _compared(found: Agreement) -> dict[str, float | int]:
    return {
        "max_absolute_error": found.max_absolute_error,
        "allowed_error": found.allowed_error,
        "agreement": found.share,
        "num_samples": found.num_samples,
    }


def output_names(reports: Sequence[ExportTargetReport]) -> Iterator[str]:
    """Return the names of the files of some targets, each once."""
    names = dict.fromkeys(name for each in reports for name in (*each.files, each.script) if name)
    return iter(names)
