"""The training loop: cross-entropy, one-cycle, seeded, resumable after every epoch.

One loop serves both modes. ``compact`` is a smaller program and no masks; ``masked`` is the
full-size twin with masks, whose removed weights stay exactly zero (claims 6 and 7).
"""

import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch import Tensor

from worker.engine.errors import DataError, DivergenceError
from worker.engine.program.module import ProgramModule
from worker.engine.program.program import Program
from worker.engine.retrain.augment import augment
from worker.engine.retrain.data import TrainingData
from worker.engine.retrain.evaluate import evaluate_module
from worker.engine.retrain.masks import Masks
from worker.engine.retrain.objectives import cross_entropy
from worker.engine.retrain.optimizer import make_optimizer, optimizer_tensors, restore_optimizer
from worker.engine.retrain.options import Hooks, RetrainOptions
from worker.engine.retrain.schedule import one_cycle
from worker.engine.retrain.state import EpochRecord, RetrainState

_NUM_IMAGE_DIMS = 4


@dataclass(frozen=True)
class RetrainResult:
    """The trained program and what every epoch did."""

    program: Program
    history: tuple[EpochRecord, ...]


def retrain(
    program: Program,
    data: TrainingData,
    options: RetrainOptions,
    *,
    masks: Mapping[str, Tensor] | None = None,
    hooks: Hooks | None = None,
    resume: RetrainState | None = None,
) -> RetrainResult:
    """Train ``program`` and return it; the program passed in is not changed.

    Same program, data, options, thread count and machine: same weights, bit for bit, whether or not
    training was interrupted and resumed.

    Args:
        program: What to train: the compacted network, or the masked twin together with ``masks``.
        data: Samples and their split.
        options: Everything else that decides the result.
        masks: By tensor name, True = keep. Removed elements are zero after every step.
        hooks: Who wants to know.
        resume: A state that an earlier call with the same arguments handed to ``checkpoint``.

    Raises:
        DataError: Samples, labels or the state to resume from do not fit.
        DivergenceError: The loss is no longer finite.
    """
    if options.epochs == 0:
        return RetrainResult(program, ())
    run = _Run(program, data, options, masks or {}, resume)
    return run.train(hooks or Hooks())


class _Run:
    """What stays the same over the steps of one training run, and the counters that do not."""

    def __init__(
        self,
        program: Program,
        data: TrainingData,
        options: RetrainOptions,
        masks: Mapping[str, Tensor],
        resume: RetrainState | None,
    ) -> None:
        if len(data.train) == 0:
            raise DataError("there are no training samples")
        self.program, self.data, self.options = program, data, options
        self.batch_size = min(options.batch_size, len(data.train))
        self.num_steps = len(data.train) // self.batch_size * options.epochs
        self.precision = _resolve_precision(options, program, resume)
        self.settings: dict[str, object] = {
            **cast("dict[str, object]", asdict(options)),
            "resolved_precision": self.precision,
            "num_samples": len(data.train),
            "is_masked": bool(masks),
        }
        self.step, self.history = 0, tuple[EpochRecord, ...]()
        self.device = next(iter(program.parameters().values())).device
        if resume is not None:
            program = self._continue_from(resume)
        self.module = _lay_out(program)
        self.masks = Masks(self.module, masks)
        self.optimizer = make_optimizer(self.module, options.optimizer)
        if resume is not None:
            restore_optimizer(self.optimizer, self.module, resume.optimizer)

    def train(self, hooks: Hooks) -> RetrainResult:
        for epoch in range(len(self.history), self.options.epochs):
            record = self._epoch(epoch, hooks)
            self.history = (*self.history, record)
            if hooks.checkpoint is not None:
                hooks.checkpoint(self._state())
            if hooks.on_epoch is not None:
                hooks.on_epoch(record)
        return RetrainResult(self._current(), self.history)

    def _epoch(self, epoch: int, hooks: Hooks) -> EpochRecord:
        started_at = time.monotonic()
        # Every epoch draws from its own seed, so a resumed run needs no generator state. Dropout
        # draws from torch's global generator: it is forked, and the caller's stays as it was.
        seed = self.options.seed * 1_000_003 + epoch
        generator = torch.Generator().manual_seed(seed)
        order = self.data.train[torch.randperm(len(self.data.train), generator=generator)]
        num_batches = len(order) // self.batch_size  # a short last batch would skew BatchNorm
        loss_sum = 0.0
        self.module.train()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for indices in order[: num_batches * self.batch_size].view(num_batches, -1):
                loss_sum += self._step(indices, generator)
                if hooks.on_step is not None:
                    hooks.on_step(self.step, self.num_steps)
        has_validation = len(self.data.validation) > 0
        metrics = (
            evaluate_module(self.module, self.data.source, self.data.validation)
            if has_validation
            else None
        )
        return EpochRecord(
            epoch=epoch + 1,
            train_loss=loss_sum / num_batches,
            val_loss=metrics.loss if metrics else None,
            val_accuracy=metrics.top1 if metrics else None,
            learning_rate=self._learning_rate(self.step - 1),
            seconds=time.monotonic() - started_at,
        )

    def _step(self, indices: Tensor, generator: torch.Generator) -> float:
        x, y = self.data.source.batch(indices)
        x = augment(x, self.options.augment, generator)
        if x.ndim == _NUM_IMAGE_DIMS:
            x = x.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            logits = self.module.run((x,))[0]
        smoothing = self.options.label_smoothing
        loss = cross_entropy(logits.float(), y, label_smoothing=smoothing)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergenceError(
                f"the loss became {value} in step {self.step + 1} of {self.num_steps}; "
                f"try a learning rate below {self.options.optimizer.learning_rate}"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(self.step)
        self.optimizer.zero_grad()
        loss.backward()
        self.masks.hold_gradients()
        self.optimizer.step()
        self.masks.hold_statistics()
        self.step += 1
        return value

    def _learning_rate(self, step: int) -> float:
        optimizer = self.options.optimizer
        return one_cycle(step, self.num_steps, optimizer.learning_rate, optimizer.warmup)

    def _autocast(self) -> AbstractContextManager[object]:
        is_enabled = self.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=is_enabled)

    def _current(self) -> Program:
        # channels_last is this loop's business; everyone else gets ordinary tensors.
        return self.module.program().map_tensors(Tensor.contiguous)

    def _state(self) -> RetrainState:
        return RetrainState(
            epoch=len(self.history),
            step=self.step,
            weights=self._current().tensors,
            optimizer=optimizer_tensors(self.optimizer, self.module),
            settings=self.settings,
            history=self.history,
        )

    def _continue_from(self, state: RetrainState) -> Program:
        for name, value in self.settings.items():
            if state.settings.get(name) != value:
                raise DataError(
                    f"the training state was saved with {name} = {state.settings.get(name)}, "
                    f"and this run has {value}"
                )
        shapes = {name: tensor.shape for name, tensor in self.program.tensors.items()}
        if {name: tensor.shape for name, tensor in state.weights.items()} != shapes:
            raise DataError("the training state belongs to another network")
        self.step, self.history = state.step, state.history
        return self.program.with_tensors(state.weights).to(self.device)


def _lay_out(program: Program) -> ProgramModule:
    """Return a module whose image kernels are channels_last: a third faster on CPU, same values."""
    return ProgramModule(
        program.map_tensors(
            lambda t: (
                t.clone(memory_format=torch.channels_last)
                if t.ndim == _NUM_IMAGE_DIMS
                else t.clone()
            )
        ),
        copy=False,
    )


def _resolve_precision(
    options: RetrainOptions, program: Program, resume: RetrainState | None
) -> str:
    if options.precision != "auto":
        return options.precision
    if resume is not None:  # another machine may have saved it
        return str(resume.settings.get("resolved_precision"))
    if any(tensor.dtype is torch.float64 for tensor in program.parameters().values()):
        return "float32"
    is_on_cpu = all(tensor.device.type == "cpu" for tensor in program.tensors.values())
    return "bfloat16" if not is_on_cpu or _is_bfloat16_native() else "float32"


def _is_bfloat16_native() -> bool:
    """Return whether this CPU multiplies bfloat16 itself; emulated, it is slower than float32."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch < 2.11 cannot tell
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
