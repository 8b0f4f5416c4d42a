"""A job's request without a service: the user's files in, results where they want them."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from app.contracts.job import JobKind
from app.contracts.spec import (
    ArchitectureSpec,
    PreprocessSpec,
    PruneConfig,
    measures_onnx,
    part_that_needs_data,
)
from secateur.core.files import WrongFileError, check_path
from secateur.engine.program.program import Program
from worker.messages import JobRequest
from worker.pipeline.job.inputs import read_model

_CHUNK_BYTES = 2**20
_WEIGHTS = ".safetensors"


class LocalError(Exception):
    """What was asked for does not fit together."""


def open_model(path: Path, architecture: ArchitectureSpec | None) -> Program:
    """Read a model file strictly.

    Raises:
        LocalError: Weights without an architecture, or the other way round.
        ModelRejectedError: The file is refused.
    """
    _check(path, architecture)
    return read_model(_request(path, architecture, PruneConfig(), Path(), Path()))


@contextmanager
def local_request(  # noqa: PLR0913, PLR0917  # what a job is made of
    model: Path,
    architecture: ArchitectureSpec | None,
    config: PruneConfig,
    data: Path | None,
    out: Path,
    device: str,
    num_threads: int,
    preprocess: PreprocessSpec | None = None,
) -> Iterator[JobRequest]:
    """Yield the request of a pruning job whose results go to ``out``.

    Raises:
        LocalError: ``out`` holds something, or the config needs data and there is none.
    """
    _check(model, architecture)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise LocalError(f"{out} is not an empty folder")
    if preprocess is not None and data is None:
        raise LocalError("--preprocess is for samples: add --data")
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
        # The pipeline keeps scratch files beside its output folder: hence a link to the user's.
        (scratch / "out").symlink_to(out.absolute(), target_is_directory=True)
        request = _request(model, architecture, config, scratch / "out", scratch / "checkpoints")
        dataset: dict[str, object] = {}
        if data is not None:
            dataset = {
                "dataset_path": data,
                "dataset_id": data.name,
                "dataset_name": data.name,
                "dataset_sha256": _sha256(data),
                "dataset_format": _data_format(data),
                "preprocess": preprocess,
            }
        found = {
            "model_id": model.name,
            "model_name": model.name,
            "model_sha256": _sha256(model),
            "device": device,
            "num_threads": num_threads,
        }
        yield request.model_copy(update={**found, **dataset})


def _request(
    model: Path,
    architecture: ArchitectureSpec | None,
    config: PruneConfig,
    out: Path,
    checkpoints: Path,
) -> JobRequest:
    return JobRequest(
        job_id="local",
        kind=JobKind.PRUNE,
        attempt=1,
        config=config,
        model_path=model,
        architecture=architecture,
        output_dir=out,
        checkpoint_dir=checkpoints,
    )


def _check(model: Path, architecture: ArchitectureSpec | None) -> None:
    try:
        is_weights = check_path(model, "model").name == _WEIGHTS[1:]
    except WrongFileError as error:
        raise LocalError(str(error)) from error
    if is_weights and architecture is None:
        raise LocalError(f"{model.name} needs --architecture, such as torchvision/resnet18")
    if architecture is not None and not is_weights:
        raise LocalError(f"--architecture belongs to a {_WEIGHTS} file, not to {model.name}")


def _data_format(path: Path) -> str:
    try:
        return check_path(path, "dataset").name
    except WrongFileError as error:
        raise LocalError(str(error)) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
