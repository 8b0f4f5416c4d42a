"""Cache of dense networks' scores on this worker, shared by the jobs of a sweep.

One safetensors file per key, written atomically. The folder is bounded and evicts the least
recently used file. Losing the cache costs only time.
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
    """Return a hash of everything that affects scores: model, data, criterion, seed, device.

    The selection is not part of the key: jobs that differ only in how much they prune share scores.
    """
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
        "device": torch.device(request.device).type,
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def recall_scores(folder: Path, key: str) -> dict[str, Tensor] | None:
    """Return cached scores, or None if the file is missing or damaged."""
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
    """Cache scores, evicting the least recently used; ignore write errors."""
    path = folder / f"{key}{_SUFFIX}"
    partial = folder / f"{key}.{os.getpid()}{_PARTIAL}"
    # Cloned because safetensors refuses tensors that share memory.
    tensors = {name: tensor.contiguous().clone() for name, tensor in scores.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial)
        partial.replace(path)
        _evict(folder, max_bytes)
    except (OSError, SafetensorError):  # such as a full disk: the job still has its scores
        with contextlib.suppress(OSError):
            partial.unlink()


def _evict(folder: Path, max_bytes: int) -> None:
    files = []
    for path in folder.iterdir():
        if path.name.endswith((_SUFFIX, _PARTIAL)):  # a killed job leaves its partial file
            with contextlib.suppress(FileNotFoundError):  # another job may be evicting too
                files.append((path, path.stat()))
    total = sum(info.st_size for _, info in files)
    for path, info in sorted(files, key=lambda item: item[1].st_mtime_ns):
        if total <= max_bytes:
            return
        path.unlink(missing_ok=True)
        total -= info.st_size
