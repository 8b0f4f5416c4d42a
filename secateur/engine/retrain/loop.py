"""The training loop: seeded, resumable after every step, with one restart if the loss diverges.

Both modes share this loop. In ``compact`` mode it trains the smaller program without masks. In
``masked`` mode it trains the full-size twin with masks, and the removed weights stay exactly zero
(claims 6 and 7). A schedule may prune the network further during training: see `Cuts`.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import cast

import torch
from torch import Tensor

from secateur.engine.errors import DataError, DivergenceError
from secateur.engine.metrics import SCORINGS, Metrics, Reference, evaluate
from secateur.engine.metrics.ranking import NO_RANK
from secateur.engine.objectives import OBJECTIVES
from secateur.engine.program.program import Program
from secateur.engine.retrain.augment import Augmentation
from secateur.engine.retrain.batch_norm import recalibrate, statistics
from secateur.engine.retrain.data import TrainingData
from secateur.engine.retrain.generators import fork_generators
from secateur.engine.retrain.losses import Losses
from secateur.engine.retrain.options import Hooks, RetrainOptions
from secateur.engine.retrain.phases import Cuts, Phase
from secateur.engine.retrain.schedule import learning_rate
from secateur.engine.retrain.state import EpochRecord, RetrainState
from secateur.engine.retrain.teacher import Teacher
from secateur.engine.retrain.trainer import Trainer, make_lesson, resolve_precision
from secateur.engine.samples import read_ahead, spread

RESTART_FACTOR = 0.1
_COLLAPSED = 2.0  # times the loss before training
_SETTLING_BATCH = 256
_AUGMENT, _TORCH, _DEVICE = "augment", "torch", "device"  # generators of a saved state


@dataclass(frozen=True)
class RetrainResult:
    """The trained program and the training history.

    Attributes:
        program: The program after the best epoch on the validation samples, or after the last
            epoch if there are none.
        history: One record per epoch.
        kept_epoch: The epoch that `program` comes from; 0 without training.
        note: The note of the last phase.
        num_restarts: 1 if the loss diverged once and training restarted at a tenth of the learning
            rate, else 0.
        num_steps: Optimiser steps in the whole schedule.
    """

    program: Program
    history: tuple[EpochRecord, ...]
    kept_epoch: int = 0
    note: str = ""
    num_restarts: int = 0
    num_steps: int = 0


def retrain_program(  # noqa: PLR0913  # each argument changes the result
    program: Program,
    data: TrainingData,
    options: RetrainOptions,
    *,
    teacher: Program | None = None,
    masks: Mapping[str, Tensor] | None = None,
    cuts: Cuts | None = None,
    note: str = "",
    start: Metrics | None = None,
    hooks: Hooks | None = None,
    resume: RetrainState | None = None,
) -> RetrainResult:
    """Train ``program`` and return the result of the best epoch; the input is not changed.

    The same program, data, options, thread count and machine give the same weights, bit for bit,
    even if training was interrupted and resumed. Training restarts once at a tenth of the learning
    rate if the loss stops being finite, or if the first epoch more than doubles the validation loss
    of ``start``.

    Args:
        program: What to train: the compacted network, or the masked twin together with ``masks``.
        data: Samples and their split.
        options: The training options.
        teacher: The dense network, for objectives that need it and for scoring without labels.
        masks: Boolean masks by tensor name, True = keep. Removed elements are zero after every
            step.
        cuts: Prunes the network further during training.
        note: The note of the first `Phase`.
        start: The metrics of ``program`` on the validation samples; None skips the check of the
            first epoch.
        hooks: Callbacks.
        resume: A state that an earlier call with the same arguments passed to ``checkpoint``.

    Raises:
        DataError: The samples, the labels or the state to resume from do not fit.
        DivergenceError: The loss is not finite at the lower learning rate either.
    """
    phase = Phase(program, masks or {}, note)
    if options.epochs == 0:
        return RetrainResult(program, (), 0, note)
    hooks = hooks or Hooks()
    num_restarts = resume.num_restarts if resume is not None else 0
    while True:
        run = _Run(phase, data, options, teacher, cuts, num_restarts, start)
        try:
            return run.train(hooks, resume)
        except DivergenceError as error:
            if num_restarts > 0:
                raise
            num_restarts, resume = 1, None
            if hooks.on_restart is not None:
                hooks.on_restart(f"{error}; training starts over at a tenth of it")


class _Run:
    """One training run and its counters."""

    def __init__(  # noqa: PLR0913, PLR0917  # everything that is constant during the run
        self,
        phase: Phase,
        data: TrainingData,
        options: RetrainOptions,
        teacher: Program | None,
        cuts: Cuts | None,
        num_restarts: int,
        start: Metrics | None,
    ) -> None:
        if len(data.train) == 0:
            raise DataError("there are no training samples")
        factor = RESTART_FACTOR**num_restarts
        rate = options.optimizer.learning_rate * factor
        self.options = replace(options, optimizer=replace(options.optimizer, learning_rate=rate))
        self.data, self.num_restarts = data, num_restarts
        self.batch_size = min(options.batch_size, len(data.train))
        self.num_steps = len(data.train) // self.batch_size * options.epochs
        self.cuts = cuts
        self.cut_steps = cuts.steps(self.num_steps) if cuts is not None else ()
        self.augment = Augmentation(options.augment)
        self.teacher = None
        objective = OBJECTIVES[self.options.objective.kind]
        if objective.needs_teacher:
            if teacher is None:
                raise DataError(
                    f"the objective {objective.name!r} needs the dense network as its teacher"
                )
            self.teacher = Teacher(
                teacher, data.source, data.train, is_before_ending=objective.is_before_ending
            )
        needs_reference = SCORINGS[data.labels].needs_reference
        self.reference = Reference(teacher) if teacher and needs_reference else None
        self.precision = resolve_precision(options, phase.program)
        self.phase, self.start = phase, start
        self.step, self.history = 0, tuple[EpochRecord, ...]()
        self.losses = Losses()  # of the steps of this epoch
        self.generators: Mapping[str, Tensor] = {}  # from a state saved in the middle of an epoch
        self.best: Program | None = None
        self.best_epoch, self.best_rank = 0, NO_RANK

    def train(self, hooks: Hooks, resume: RetrainState | None) -> RetrainResult:
        self._start(resume)
        for epoch in range(len(self.history), self.options.epochs):
            if self._is_patience_spent():
                break
            record = self._epoch(epoch, hooks)
            self.history = (*self.history, record)
            if hooks.on_epoch is not None:  # before the checkpoint, which may end the process
                hooks.on_epoch(record)
            if hooks.checkpoint is not None:
                hooks.checkpoint(self._state())
        program, kept = self.best, self.best_epoch
        if program is None:
            program, kept = self._settled(self.trainer.result()), len(self.history)
        note, num_steps = self.phase.note, self.num_steps
        return RetrainResult(program, self.history, kept, note, self.num_restarts, num_steps)

    def _start(self, resume: RetrainState | None) -> None:
        if resume is not None:
            self._continue_from(resume)
        self._begin_phase()
        if resume is not None:
            self.trainer.restore(resume.optimizer, resume.average)

    def _begin_phase(self) -> None:
        """Make a trainer for the network of this phase."""
        program = self.phase.program
        lesson = make_lesson(program, self.teacher, self.options)
        self.trainer = Trainer(program, self.options, self.precision, lesson, self.phase.masks)

    def _epoch(self, epoch: int, hooks: Hooks) -> EpochRecord:
        started_at = time.monotonic()
        # Every epoch has its own seed, so resuming between epochs needs no generator state. Dropout
        # and torchvision draw from torch's global generator, which is forked to leave the caller's
        # state unchanged.
        seed = self.options.seed * 1_000_003 + epoch
        generator = torch.Generator().manual_seed(seed)
        order = self.data.train[torch.randperm(len(self.data.train), generator=generator)]
        num_batches = len(order) // self.batch_size  # a short last batch would skew BatchNorm
        chunks = list(order[: num_batches * self.batch_size].view(num_batches, -1))
        num_done = self.step - epoch * num_batches
        rate = 0.0
        with fork_generators(self._device):
            torch.manual_seed(seed)
            self._restore_generators(generator)
            for x, labels in read_ahead(self.data.source, chunks[num_done:]):
                self._cut_if_due()
                self.trainer.module.train()
                rate = learning_rate(self.step, self.num_steps, self.options.optimizer)
                augmented = self.augment(x, generator)
                loss = self.trainer.step(augmented, labels, rate, self.step)
                self.losses.add(loss, self.step, rate)
                self.step += 1
                if hooks.on_step is not None:
                    hooks.on_step(self.step, self.num_steps)
                is_last = self.step == (epoch + 1) * num_batches
                self._save_if_due(hooks, generator, is_last=is_last)
        self.losses.settle()
        losses, self.losses = self.losses, Losses()
        metrics = self._validate(epoch, rate)
        return EpochRecord(
            epoch=epoch + 1,
            train_loss=losses.total / num_batches,
            val_loss=metrics.loss if metrics else None,
            val_metric=metrics.values[metrics.primary] if metrics else None,
            learning_rate=rate,
            seconds=time.monotonic() - started_at,
        )

    def _save_if_due(self, hooks: Hooks, generator: torch.Generator, *, is_last: bool) -> None:
        """Save in the middle of an epoch; `train` saves at the end of each."""
        if is_last or hooks.checkpoint is None or hooks.is_save_due is None:
            return
        if not hooks.is_save_due():
            return
        self.losses.settle()
        generators = {_AUGMENT: generator.get_state(), _TORCH: torch.get_rng_state()}
        if self._device.type != "cpu":
            module = torch.get_device_module(self._device)
            generators[_DEVICE] = module.get_rng_state(self._device)
        hooks.checkpoint(self._state(generators))

    def _restore_generators(self, generator: torch.Generator) -> None:
        found, self.generators = self.generators, {}
        if not found:
            return
        generator.set_state(found[_AUGMENT])
        torch.set_rng_state(found[_TORCH])
        if _DEVICE in found and self._device.type != "cpu":  # saved on an accelerator, too
            torch.get_device_module(self._device).set_rng_state(found[_DEVICE], self._device)

    @property
    def _device(self) -> torch.device:
        return self.phase.program.device

    def _cut_if_due(self) -> None:
        if self.cuts is None or self.step not in self.cut_steps:
            return
        number = max(n for n, step in enumerate(self.cut_steps) if step == self.step)
        now = replace(self.phase, program=self.trainer.program())
        self.phase, optimizer = self.cuts.cut(now, number, self.trainer.optimizer_tensors())
        self._begin_phase()  # restarts the average: the wider network's does not fit
        self.trainer.restore(optimizer)
        self.best, self.best_epoch, self.best_rank = None, 0, NO_RANK

    def _validate(self, epoch: int, rate: float) -> Metrics | None:
        """Score the network after an epoch, and keep it if it is the best since the last cut.

        Raises:
            DivergenceError: The first epoch made the network far worse.
        """
        data = self.data
        needs_reference = SCORINGS[data.labels].needs_reference
        if len(data.validation) == 0 or (needs_reference and self.reference is None):
            return None
        program = self._settled(self.trainer.result())
        metrics = evaluate(
            program,
            data.source,
            data.validation,
            data.labels,
            self.reference,
            reading=data.reading,
        )
        if epoch == 0 and self.num_restarts == 0 and self._has_collapsed(metrics):
            assert self.start is not None  # noqa: S101  # `_has_collapsed` checked it
            raise DivergenceError(
                f"the first epoch took the validation loss from {self.start.loss:.3g} to "
                f"{metrics.loss:.3g}, at a learning rate of {rate:.3g}"
            )
        if metrics.rank > self.best_rank:
            self.best, self.best_epoch, self.best_rank = program, epoch + 1, metrics.rank
        return metrics

    def _settled(self, program: Program) -> Program:
        """Return the network with recalibrated statistics if the options ask for it."""
        if not self.options.num_settling_samples or not statistics(program):
            return program
        chosen = spread(self.data.train, self.options.num_settling_samples)
        parts = chosen.split(_SETTLING_BATCH)
        return recalibrate(program, (self.data.source.batch(part)[0] for part in parts))

    def _has_collapsed(self, metrics: Metrics) -> bool:
        start = self.start
        if start is None or self.cuts is not None or metrics.rank >= start.rank:
            return False
        return not metrics.loss <= _COLLAPSED * start.loss

    def _is_patience_spent(self) -> bool:
        """Return whether the validation loss has not improved for ``patience`` epochs.

        Epochs before the last cut do not count: they scored a different network.
        """
        patience = self.options.patience
        num_batches = len(self.data.train) // self.batch_size
        last_cut = self.cut_steps[-1] if self.cut_steps else -1
        losses = [
            record.val_loss
            for record in self.history
            if record.epoch * num_batches > last_cut and record.val_loss is not None
        ]
        if patience is None or not losses:
            return False
        # NaN is never an improvement.
        numbers = [loss if math.isfinite(loss) else math.inf for loss in losses]
        return len(numbers) - 1 - numbers.index(min(numbers)) >= patience

    def _settings(self) -> dict[str, object]:
        return {
            **cast("dict[str, object]", asdict(self.options)),
            "resolved_precision": self.precision,
            "num_samples": len(self.data.train),
            "is_masked": bool(self.phase.masks),
        }

    def _state(self, generators: Mapping[str, Tensor] | None = None) -> RetrainState:
        return RetrainState(
            epoch=len(self.history),
            step=self.step,
            weights=self.trainer.program().tensors,
            optimizer=self.trainer.optimizer_tensors(),
            average=self.trainer.average_tensors(),
            best=self.best.tensors if self.best is not None else {},
            best_epoch=self.best_epoch,
            best_rank=self.best_rank,
            settings=self._settings(),
            history=self.history,
            note=self.phase.note,
            num_restarts=self.num_restarts,
            loss_sum=self.losses.total,
            generators=generators or {},
        )

    def _continue_from(self, state: RetrainState) -> None:
        device = self._device
        if self.cuts is not None and state.note:
            self.phase = self.cuts.resume(state.note)  # on the CPU
        # The state may come from another machine: continue in the precision that it used.
        self.precision = str(state.settings.get("resolved_precision", self.precision))
        saved = _plain(state.settings)
        for name, value in _plain(self._settings()).items():
            if saved.get(name) != value:
                raise DataError(
                    f"the training state was saved with {name} = {state.settings.get(name)}, "
                    f"and this run has {value}"
                )
        program = self.phase.program
        shapes = {name: tensor.shape for name, tensor in program.tensors.items()}
        if {name: tensor.shape for name, tensor in state.weights.items()} != shapes:
            raise DataError("the training state belongs to another network")
        self.step, self.history = state.step, state.history
        self.losses, self.generators = Losses(state.loss_sum), state.generators
        self.phase = replace(self.phase, program=program.with_tensors(state.weights).to(device))
        if state.best:
            self.best = program.with_tensors(state.best).to(device)
            self.best_epoch, self.best_rank = state.best_epoch, state.best_rank


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    """Return values as they read back from a saved state: tuples become lists."""
    plain: dict[str, object] = json.loads(json.dumps(dict(values)))
    return plain
