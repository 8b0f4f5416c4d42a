"""Single training steps: weights, optimiser, objective, masks and precision.

Epochs, schedules and files live in the callers: `loop`, `range_test` and `pace`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.errors import DataError
from secateur.engine.objectives import OBJECTIVES, Loss
from secateur.engine.objectives.outputs import before_endings
from secateur.engine.program.module import TRAINING_ARGUMENT, ProgramModule
from secateur.engine.program.placing import placed
from secateur.engine.program.program import Program
from secateur.engine.retrain.averaging import MovingAverage
from secateur.engine.retrain.batch_norm import follow_closely
from secateur.engine.retrain.features import Taps, attention_distance, find_taps
from secateur.engine.retrain.masks import Masks
from secateur.engine.retrain.optimizer import make_optimizer, optimizer_tensors, restore_optimizer
from secateur.engine.retrain.options import RetrainOptions
from secateur.engine.retrain.safe_convolution import CONV2D, conv2d
from secateur.engine.retrain.teacher import Teacher
from secateur.engine.retrain.tf32 import allow_tf32

_NUM_IMAGE_DIMS = 4


@dataclass(frozen=True)
class Lesson:
    """The teacher, and the layers where attention is compared."""

    teacher: Teacher | None = None
    taps: Taps | None = None


class Trainer:
    """A network in training; `program` returns its current state."""

    def __init__(
        self,
        program: Program,
        options: RetrainOptions,
        precision: str,
        lesson: Lesson,
        masks: Mapping[str, Tensor],
    ) -> None:
        """Copy the network into a layout for training; ``program`` is not changed."""
        self._options, self._precision, self._lesson = options, precision, lesson
        is_before_ending = OBJECTIVES[options.objective.kind].is_before_ending
        outputs = before_endings(program) if is_before_ending else None
        self.module = _lay_out(program, outputs)
        self._device = program.device
        self._masks = Masks(self.module, masks)
        self._optimizer = make_optimizer(self.module, options.optimizer)
        scales = lesson.teacher.scales if lesson.teacher is not None else ()
        self._objective = Loss(program, options.objective, scales)
        self._average: MovingAverage | None = None
        if options.ema is not None:
            self._average = MovingAverage(self._tensors(), options.ema)
        # The compiled graph takes the samples of one run.
        is_compiled = options.is_compiled and program.batch_size is None
        self._forward = _compiled(self.module, program, outputs) if is_compiled else None

    def step(self, x: Tensor, labels: Tensor | None, learning_rate: float, number: int) -> Tensor:
        """Take one step on a batch and return the loss before it, which may not be finite.

        The loss is a scalar on the network's device: see `losses`.

        Args:
            x: Inputs (N, ...).
            labels: The labels as `samples.SampleSource.batch` returns them.
            learning_rate: Learning rate of this step.
            number: Index of the step, from 0.

        Raises:
            DataError: Labels or outputs do not fit the objective.
        """
        if x.ndim == _NUM_IMAGE_DIMS:
            x = x.contiguous(memory_format=torch.channels_last)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.zero_grad()
        with allow_tf32(self._device):
            loss = self._loss(x, labels)
            loss.backward()
        self._masks.hold_gradients()
        clip_norm = self._options.optimizer.clip_norm
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), clip_norm)
        self._optimizer.step()
        self._masks.hold_statistics()
        if self._average is not None:
            self._average.update(self._tensors(), number)
        return loss.detach()

    def loss(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Return the loss on a batch, a scalar, without a step; it may not be finite."""
        if x.ndim == _NUM_IMAGE_DIMS:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), allow_tf32(self._device):
            return self._loss(x, labels)

    def program(self) -> Program:
        """Return the current network in contiguous layout."""
        return self.module.program().map_tensors(_in_ordinary_layout)

    def result(self) -> Program:
        """Return the network that training would return now: the moving average if there is one."""
        if self._average is None:
            return self.program()
        # Copy, because the average keeps changing.
        return self.program().with_tensors(
            {name: _in_ordinary_layout(tensor) for name, tensor in self._average.tensors.items()}
        )

    def optimizer_tensors(self) -> dict[str, Tensor]:
        """Return copies of the optimiser's tensors by ``<parameter>/<slot>``."""
        return optimizer_tensors(self._optimizer, self.module)

    def average_tensors(self) -> dict[str, Tensor]:
        """Return copies of the moving averages by name; empty without ``ema``."""
        if self._average is None:
            return {}
        return {name: tensor.clone() for name, tensor in self._average.tensors.items()}

    def restore(
        self, optimizer: Mapping[str, Tensor], average: Mapping[str, Tensor] | None = None
    ) -> None:
        """Load saved optimiser tensors, and averages if given.

        Raises:
            DataError: A tensor does not match a parameter in name or shape.
        """
        restore_optimizer(self._optimizer, self.module, optimizer)
        if self._average is None or average is None:
            return
        for name, tensor in self._average.tensors.items():
            if name not in average or average[name].shape != tensor.shape:
                raise DataError(f"the training state has no average of {name}")
            tensor.copy_(average[name])

    def _loss(self, x: Tensor, labels: Tensor | None) -> Tensor:
        teacher, taps = self._lesson.teacher, self._lesson.taps
        taught: list[object] | None = None
        seen: list[Tensor] = []
        is_low = self._precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=is_low):
            if teacher is not None:
                taught, seen = teacher.answer(x, taps.teacher if taps is not None else ())
            outputs, shown = self._answer(x, taps)
        loss = self._objective(outputs, labels, taught)
        if taps is not None:
            weight = self._options.objective.feature_weight
            loss = loss + weight * attention_distance(shown, seen)
        return loss

    def _answer(self, x: Tensor, taps: Taps | None) -> tuple[list[object], list[Tensor]]:
        if self._forward is not None:
            return list(self._forward(x)), []
        if taps is None:
            return self.module.run((x,)), []
        return self.module.run_and_keep((x,), taps.student)

    def _tensors(self) -> dict[str, Tensor]:
        return dict(self.module.state_dict(keep_vars=True))


def make_lesson(program: Program, teacher: Teacher | None, options: RetrainOptions) -> Lesson:
    """Return the teacher and, if features count, the layers where attention is compared.

    Raises:
        DataError: Features are requested but cannot be compared.
    """
    if teacher is None or options.objective.feature_weight <= 0:
        return Lesson(teacher)
    if options.is_compiled:
        raise DataError("retrain.compile and retrain.distill.features cannot be combined")
    return Lesson(teacher, find_taps(program, teacher.program))


def resolve_precision(options: RetrainOptions, program: Program) -> str:
    """Return ``float32`` or ``bfloat16``, resolving ``auto`` for this program and its device."""
    if options.precision != "auto":
        return options.precision
    if any(tensor.dtype is torch.float64 for tensor in program.parameters().values()):
        return "float32"
    return "bfloat16" if _is_bfloat16_native(program.device) else "float32"


def _in_ordinary_layout(tensor: Tensor) -> Tensor:
    """Return a copy with the strides of a saved and loaded tensor.

    ``contiguous()`` does not change the strides of a channels_last weight with one channel, because
    both layouts hold the same numbers in the same order. Kernels are chosen by strides and round
    differently.
    """
    return tensor.clone(memory_format=torch.contiguous_format)


def _lay_out(program: Program, outputs: tuple[object, ...] | None) -> ProgramModule:
    """Return a module with copied tensors and channels_last 4-d weights: a third faster on CPU."""
    module = ProgramModule(
        program.map_tensors(
            lambda t: (
                t.clone(memory_format=torch.channels_last)
                if t.ndim == _NUM_IMAGE_DIMS
                else t.clone()
            )
        ),
        copy=False,
        outputs=outputs,
    )
    module.steps = [
        (
            node,
            conv2d if target is CONV2D else target,
            follow_closely(target, args),
            kwargs,
            dead,
        )
        for node, target, args, kwargs, dead in module.steps
    ]
    return module


def _compiled(
    module: ProgramModule, program: Program, outputs: tuple[object, ...] | None
) -> Callable[..., tuple[object, ...]]:
    """Return a compiled forward pass in training mode that shares the module's tensors."""
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    whole: Any = graph.graph_copy(program.graph, copies)
    if outputs is not None:
        whole = tuple(copies[each] if isinstance(each, fx.Node) else each for each in outputs)
    graph.output(whole)
    for node in graph.nodes:
        node.args, node.kwargs = placed(node, program.device)
        if node.target is CONV2D:
            node.target = conv2d
        node.args = follow_closely(node.target, node.args)
        if node.target in TRAINING_ARGUMENT:
            arguments = list(node.args)
            arguments[TRAINING_ARGUMENT[node.target]] = True
            node.args = tuple(arguments)
    compiled: Callable[..., tuple[object, ...]] = torch.compile(fx.GraphModule(module, graph))
    return compiled


def _is_bfloat16_native(device: torch.device) -> bool:
    """Return whether a device has native bfloat16; emulation is ten times slower on a CPU."""
    if device.type != "cpu":
        module = torch.get_device_module(device)
        return bool(module.is_bf16_supported(including_emulation=False))
    if not hasattr(torch.cpu, "get_capabilities"):  # torch < 2.11 cannot tell
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
