"""Saved state of a training run, complete enough to resume bit for bit.

The state is one safetensors file. It is written under a temporary name, synced and renamed, so a
reader sees a whole state or none, even after a power failure. Weights, optimiser and generators are
tensors. Everything else is JSON in the file's header.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.files.atomic_write import atomic_write
from secateur.engine.metrics.ranking import NO_RANK, Rank

FILE_NAME = "retrain_state.safetensors"
_WEIGHT, _OPTIMIZER, _AVERAGE, _BEST = "weight/", "optimizer/", "average/", "best/"
_GENERATOR = "generator/"


@dataclass(frozen=True)
class EpochRecord:
    """Results of one epoch; the validation values are None without validation samples.

    Attributes:
        epoch: Number of the epoch, from 1.
        train_loss: Mean loss of the epoch's steps.
        val_loss: Loss on the validation samples.
        val_metric: Primary metric on the validation samples.
        learning_rate: Learning rate of the last step.
        seconds: Wall-clock time, including validation.
    """

    epoch: int
    train_loss: float
    val_loss: float | None
    val_metric: float | None
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class RetrainState:
    """State of a training run after ``step`` steps, at the end or in the middle of an epoch.

    At the end of an epoch no random state is needed: every epoch uses generators seeded with (seed,
    epoch). The learning rate depends on the step alone, and the sample order on the epoch.

    Attributes:
        epoch: Finished epochs.
        step: Finished optimiser steps, including those of the unfinished epoch.
        weights: All tensors of the program.
        optimizer: The optimiser's tensors, by ``<parameter>/<slot>``.
        settings: Settings that must match when training resumes, as JSON values.
        history: Records of the finished epochs.
        average: The moving averages; empty without ``ema``.
        best: Tensors of the best epoch; empty without validation samples.
        best_epoch: The best epoch; 0 if there is none.
        best_rank: Rank of the best epoch, from `ranking.rank`.
        note: Text that the caller stores with the state, such as the current plan.
        num_restarts: Number of restarts.
        loss_sum: Summed loss over the steps of the unfinished epoch.
        generators: Generator states (uint8) by name, in the middle of an epoch only.
    """

    epoch: int
    step: int
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    settings: Mapping[str, object]
    history: tuple[EpochRecord, ...]
    average: Mapping[str, Tensor] = field(default_factory=dict)
    best: Mapping[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    best_rank: Rank = NO_RANK
    note: str = ""
    num_restarts: int = 0
    loss_sum: float = 0.0
    generators: Mapping[str, Tensor] = field(default_factory=dict)


def save_state(state: RetrainState, directory: Path) -> Path:
    """Write ``state`` into ``directory`` and return the file; replace it atomically."""
    directory.mkdir(parents=True, exist_ok=True)
    parts = (
        (_WEIGHT, state.weights),
        (_OPTIMIZER, state.optimizer),
        (_AVERAGE, state.average),
        (_BEST, state.best),
        (_GENERATOR, state.generators),
    )
    tensors = {
        prefix + name: _plain(tensor) for prefix, part in parts for name, tensor in part.items()
    }
    header = {
        "epoch": state.epoch,
        "step": state.step,
        "settings": dict(state.settings),
        "history": [asdict(record) for record in state.history],
        "best_epoch": state.best_epoch,
        "best_rank": state.best_rank,
        "note": state.note,
        "num_restarts": state.num_restarts,
        "loss_sum": state.loss_sum,
    }
    path = directory / FILE_NAME
    with atomic_write(path) as partial:
        save_file(tensors, partial, metadata={"state": json.dumps(header, sort_keys=True)})
    return path


def load_state(directory: Path) -> RetrainState | None:
    """Return the state saved in ``directory``, or None if there is none.

    Raises:
        DataError: The file exists but cannot be read.
    """
    path = directory / FILE_NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"the training state {path.name} cannot be read: {error}") from error
    return RetrainState(
        epoch=header["epoch"],
        step=header["step"],
        weights=_under(_WEIGHT, tensors),
        optimizer=_under(_OPTIMIZER, tensors),
        settings=header["settings"],
        history=tuple(EpochRecord(**record) for record in header["history"]),
        average=_under(_AVERAGE, tensors),
        best=_under(_BEST, tensors),
        best_epoch=header["best_epoch"],
        best_rank=tuple(header["best_rank"]),
        note=header["note"],
        num_restarts=header["num_restarts"],
        loss_sum=header["loss_sum"],
        generators=_under(_GENERATOR, tensors),
    )


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def _plain(tensor: Tensor) -> Tensor:
    # safetensors refuses shared and strided storage; a clone of a contiguous view has neither.
    if tensor.device.type != "cpu":
        return tensor.detach().cpu().contiguous()
    return tensor.detach().contiguous().clone()
