"""Build the files of a target, and compare them with the network on the same samples."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secateur.engine.errors import ExportError
from secateur.engine.export.onnx import tensor_outputs
from secateur.engine.export.targets.target import Arrays, Source, Target, run_samples
from secateur.engine.objectives.outputs import score_outputs
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program

_MOST_CHARACTERS = 300

T = TypeVar("T")


class MismatchError(ExportError):
    """The files of a target do not compute what the network computes."""


@dataclass(frozen=True)
class Agreement:
    """Comparison of a target's outputs with torch.

    Attributes:
        max_absolute_error: Largest difference of a value.
        allowed_error: Largest difference that is allowed.
        share: Share of samples that agree: with the same best class if an output is class scores,
            otherwise within the allowed difference.
        num_samples: Samples that were compared.
    """

    max_absolute_error: float
    allowed_error: float
    share: float
    num_samples: int


def missing_modules(target: Target) -> list[str]:
    """Return the packages of a target that are not installed."""
    return [name for name in target.modules if find_spec(name) is None]


def build_files(target: Target, source: Source, folder: Path) -> None:
    """Write the files of a target.

    Raises:
        ExportError: The target cannot express the network.
    """
    build = target.build
    if build is not None:
        _keep_out(target)
        _translate(target, lambda: build(source, folder))


class Opened:
    """The files of a target, opened to compute.

    Attributes:
        target: The target.
    """

    def __init__(self, target: Target, path: Path, program: Program, num_threads: int = 1) -> None:
        """Open the file at ``path``.

        Raises:
            ExportError: The target cannot read its file.
        """
        assert target.load is not None  # noqa: S101  # scripts are not opened
        _keep_out(target)
        load = target.load
        self.target, self._program = target, program
        self._num_samples = program.batch_size or (None if target.is_batched else 1)
        self._run = _translate(target, lambda: load(str(path), num_threads))

    def run(self, inputs: Sequence[Tensor]) -> Arrays:
        """Return the outputs for a batch.

        Raises:
            ExportError: The target cannot compute it.
        """
        arrays = [self._array(index, x) for index, x in enumerate(inputs)]
        return _translate(self.target, lambda: run_samples(self._run, arrays, self._num_samples))

    def _array(self, index: int, x: Tensor) -> NDArray[Any]:
        spec = self._program.inputs[index]
        dtype = spec.given_dtype if self.target.keeps_types else spec.dtype
        return x.detach().cpu().to(spec.given_dtype).to(dtype).contiguous().numpy()


@torch.no_grad()
def compare_outputs(
    opened: Opened, program: Program, batches: Sequence[tuple[Tensor, ...]]
) -> Agreement:
    """Compare a target with the network.

    Raises:
        MismatchError: An output has another shape, is not finite, or differs by more than the
            tolerance of the target.
    """
    module, names = ProgramModule(program, copy=False).eval(), program.output_names
    scores = set(score_outputs(program))
    worst, allowed, agreed, total = 0.0, 0.0, 0, 0
    for batch in batches:
        specs = zip(program.inputs, batch, strict=True)
        given = tuple(x.to(spec.given_dtype).to(spec.dtype) for spec, x in specs)
        expected, found = module.run(given), opened.run(batch)
        outputs = tensor_outputs(program)
        if len(found) != len(outputs):
            raise MismatchError(f"{opened.target.title} gives {len(found)} outputs")
        does_agree = np.ones(len(batch[0]), dtype=bool)
        for index, value in zip(outputs, found, strict=True):
            x, y = _pair(opened.target, names[index], expected[index], value)
            limit = opened.target.tolerance * max(1.0, float(np.abs(x).max(initial=0.0)))
            distance = np.abs(x - y).reshape(len(x), -1).max(axis=1, initial=0.0)
            worst, allowed = max(worst, float(distance.max(initial=0.0))), max(allowed, limit)
            if not float(distance.max(initial=0.0)) <= limit:
                raise MismatchError(
                    f"the outputs of {opened.target.title} differ from the network's by "
                    f"{distance.max():.3g}, allowed {limit:.3g} (output {names[index]!r})"
                )
            does_agree &= x.argmax(1) == y.argmax(1) if index in scores else distance <= limit
        agreed, total = agreed + int(does_agree.sum()), total + len(does_agree)
    return Agreement(worst, allowed, agreed / total, total)


def _pair(
    target: Target, name: str, expected: object, found: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an output of torch and of the target as numbers of one shape."""
    x = torch.as_tensor(expected).cpu().double().numpy()
    if x.size != found.size or len(x) != len(found):
        raise MismatchError(
            f"output {name!r} of {target.title} has shape {list(found.shape)}, the network's has "
            f"{list(x.shape)}"
        )
    return x, found.astype(np.float64).reshape(x.shape)


def _keep_out(target: Target) -> None:
    for name in target.kept_out:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # an import then fails


def _translate(target: Target, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except (MemoryError, MismatchError):
        raise
    except Exception as error:  # converters raise errors of any type
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"{target.title} cannot express the network: {message[:_MOST_CHARACTERS]}"
        ) from error
