"""Build a job's request from local files, without a service."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from app.contracts.job import JobKind
from app.contracts.settings import LimitSettings
from app.contracts.spec import (
    ArchitectureSpec,
    PreprocessSpec,
    PruneConfig,
    measures_onnx,
    part_that_needs_data,
)
from secateur.core.files import WrongFileError, check_path
from secateur.core.formats import MODEL_FORMATS, Use, alternatives, needs_architecture
from secateur.core.onnx_bundle import MissingWeightsError, bundled
from secateur.engine.program.program import Program
from worker.messages import DatasetInput, JobRequest, LatenciesInput, ModelInput
from worker.pipeline.job.model_files import read_model

_CHUNK_BYTES = 2**20


class LocalError(Exception):
    """The options or files do not fit together."""


def open_model(path: Path, architecture: ArchitectureSpec | None) -> Program:
    """Read and validate a model file.

    Raises:
        LocalError: Weights come without an architecture, or an architecture without weights.
        ModelRejectedError: The file is refused.
    """
    with tempfile.TemporaryDirectory(prefix="secateur-") as scratch:
        model = _with_weights(_model(path, architecture), Path(scratch))
        return read_model(model, LimitSettings())


@contextmanager
def local_request(  # noqa: PLR0913, PLR0917  # the parts of a job
    model: Path,
    architecture: ArchitectureSpec | None,
    config: PruneConfig,
    data: Path | None,
    out: Path,
    device: str,
    num_threads: int,
    preprocess: PreprocessSpec | None = None,
) -> Iterator[JobRequest]:
    """Yield the request of a pruning job that writes its results to ``out``.

    Raises:
        LocalError: ``out`` is not empty, or the config needs a file that is not there.
    """
    model_input = _model(model, architecture)
    latencies = _latencies(config.selection.target)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise LocalError(f"{out} is not an empty folder")
    if preprocess is not None and data is None:
        raise LocalError("--preprocess needs samples: add --data")
    part = part_that_needs_data(config) if data is None else None
    if part is not None:
        raise LocalError(f"{part[0][1:].replace('/', ' ')} {part[1]} needs --data")
    if "onnx" not in config.export.formats and measures_onnx(config):
        raise LocalError(
            "latencies are measured with ONNX files: add 'onnx' to export.formats, or choose "
            "widths by a ratio, macs or params and a number for round_to"
        )
    if data is None and config.retrain.epochs != 0:
        retrain = config.retrain.model_copy(update={"epochs": 0})
        config = config.model_copy(update={"retrain": retrain})
    if num_threads > 0:
        torch.set_num_threads(num_threads)
    torch.manual_seed(config.seed)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="secateur-") as name:
        scratch = Path(name)
        (scratch / "checkpoints").mkdir()
        # A link, because the pipeline keeps scratch files next to its output folder.
        (scratch / "out").symlink_to(out.absolute(), target_is_directory=True)
        yield JobRequest(
            job_id="local",
            kind=JobKind.PRUNE,
            attempt=1,
            config=config,
            model=_with_weights(model_input, scratch),
            dataset=None if data is None else _dataset(data, preprocess),
            latencies=latencies,
            output_dir=scratch / "out",
            checkpoint_dir=scratch / "checkpoints",
            device=device,
            num_threads=num_threads,
        )


def _model(path: Path, architecture: ArchitectureSpec | None) -> ModelInput:
    format_ = _format(path, "model")
    if needs_architecture(format_) and architecture is None:
        raise LocalError(f"{path.name} needs --architecture, such as torchvision/resnet18")
    if architecture is not None and not needs_architecture(format_):
        takers = alternatives(
            each.suffixes[0] for each in MODEL_FORMATS.values() if each.needs_architecture
        )
        raise LocalError(f"--architecture is only valid for a {takers} file, not for {path.name}")
    return ModelInput(
        path=path,
        format=format_,
        id=path.name,
        name=path.name,
        sha256=_sha256(path),
        architecture=architecture,
    )


def _with_weights(model: ModelInput, scratch: Path) -> ModelInput:
    """Return a model whose file has its weights with it."""
    try:
        return model.model_copy(update={"path": bundled(model.path, scratch)})
    except MissingWeightsError as error:
        raise LocalError(str(error)) from error


def _dataset(path: Path, preprocess: PreprocessSpec | None) -> DatasetInput:
    return DatasetInput(
        path=path,
        format=_format(path, "dataset"),
        id=path.name,
        name=path.name,
        sha256=_sha256(path),
        preprocess=preprocess or PreprocessSpec(),
    )


def _latencies(target: str | None) -> LatenciesInput | None:
    """Return the file that the config names as its target; with a service it is an upload."""
    if target is None:
        return None
    path = Path(target)
    if not path.is_file():
        raise LocalError(
            f"selection.target is {target!r}, and there is no such file: without a service it is "
            "the CSV file that secateur_bench.py wrote"
        )
    return LatenciesInput(path=path.absolute(), id=path.name, name=path.name)


def _format(path: Path, use: Use) -> str:
    try:
        return check_path(path, use).name
    except WrongFileError as error:
        raise LocalError(str(error)) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
