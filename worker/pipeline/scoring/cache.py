"""Scores of dense networks, kept on this worker so that the jobs of a sweep measure them once.

One safetensors file a key, written beside its name and renamed. The folder is bounded; who was used
least recently goes first. Losing it loses time and nothing else.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from worker.messages import JobRequest

MAX_BYTES = 256 * 1024**2
_SUFFIX, _PARTIAL = ".saliency.safetensors", ".partial"


def saliency_key(request: JobRequest) -> str:
    """Name everything that scores depend on: model, data, criterion and seed; not the selection."""
    config, model, data = request.config, request.require_model(), request.dataset
    parts = {
        "model": model.sha256,
        "architecture": model.architecture.model_dump() if model.architecture else None,
        "dataset": None if data is None else data.sha256,
        "preprocess": None if data is None else data.preprocess.model_dump(),
        "split": config.split.model_dump(),
        "criterion": config.criterion.model_dump(exclude={"compare", "candidates"}),
        "seed": config.seed,
        "threads": request.num_threads,
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def recall_scores(folder: Path, key: str) -> dict[str, Tensor] | None:
    """Return remembered scores, or None if there are none or the file is damaged."""
    path = folder / f"{key}{_SUFFIX}"
    try:
        found: dict[str, Tensor] = load_file(path)
        os.utime(path)
    except (OSError, SafetensorError):
        return None
    return found


def remember_scores(
    folder: Path, key: str, scores: dict[str, Tensor], *, max_bytes: int = MAX_BYTES
) -> None:
    """Remember scores if that can be done; what was used least recently makes room."""
    path = folder / f"{key}{_SUFFIX}"
    partial = folder / f"{key}.{os.getpid()}{_PARTIAL}"
    # Cloned, because safetensors writes no tensors that share memory.
    tensors = {name: tensor.contiguous().clone() for name, tensor in scores.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial)
        partial.replace(path)
        _make_room(folder, max_bytes)
    except (OSError, SafetensorError):  # a full disk, say: the job has its scores
        with contextlib.suppress(OSError):
            partial.unlink()


def _make_room(folder: Path, max_bytes: int) -> None:
    files = []
    for path in folder.iterdir():
        if path.name.endswith((_SUFFIX, _PARTIAL)):  # a killed job leaves its partial file
            with contextlib.suppress(FileNotFoundError):  # another job is making room too
                files.append((path, path.stat()))
    total = sum(info.st_size for _, info in files)
    for path, info in sorted(files, key=lambda item: item[1].st_mtime_ns):
        if total <= max_bytes:
            return
        path.unlink(missing_ok=True)
        total -= info.st_size
