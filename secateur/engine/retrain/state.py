"""A training run between two steps: enough to go on as if it had never stopped.

One safetensors file, written beside its name, synced and renamed, so a reader sees a whole state or
none, after a power failure too. Weights, optimiser and generators are tensors; everything else is
JSON in the file's header.
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
    """What one epoch did; the validation numbers are None without validation samples."""

    epoch: int
    train_loss: float
    val_loss: float | None
    val_metric: float | None
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class RetrainState:
    """A training run after ``step`` steps, at the end of an epoch or in the middle of one.

    At the end of an epoch randomness needs no field: every epoch draws from generators seeded with
    (seed, epoch). The learning rate is a function of the step, the order of the samples of the
    epoch.

    Attributes:
        epoch: Finished epochs.
        step: Finished optimiser steps, those of the unfinished epoch among them.
        weights: Every tensor of the program.
        optimizer: The optimiser's tensors, by ``<parameter>/<slot>``.
        settings: What must be the same when training goes on, as JSON values.
        history: The finished epochs.
        average: The moving averages, where the options ask for them.
        best: The tensors of the best epoch, where there are validation samples.
        best_epoch: Which epoch that was; 0 for none.
        best_rank: What made it the best, as `ranking.rank` gives it.
        note: What the caller of training keeps with it, such as the plan so far.
        num_restarts: How often training has started over.
        loss_sum: Of the steps of the unfinished epoch.
        generators: In the middle of an epoch the states of the generators (uint8), by name.
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
    """Write ``state`` into ``directory``, replacing an earlier one at once; return the file."""
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
        DataError: The file is there and cannot be read.
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
    return tensor.detach().contiguous().clone()
