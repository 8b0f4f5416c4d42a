"""One pass of a network over samples: metrics, predictions and layer input statistics."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from secateur.engine.metrics import PLAIN, Judge, Metrics, Reading, fitting_batch
from secateur.engine.objectives import LabelKind
from secateur.engine.objectives.outputs import (
    activation,
    float_outputs,
    score_outputs,
    threshold,
)
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.samples import SampleSource, iterate
from secateur.engine.sanity.statistics import Moments, NormShift, first_norms

_BATCH_SIZE = 64  # small, because a first BatchNorm's input is the largest tensor in most networks
_SCORES_RANK = 2
_SAME = 1e-6  # share of the largest output that is rounding


@dataclass(frozen=True)
class Look:
    """Results of one pass over samples.

    Attributes:
        metrics: Metrics as in `evaluate`; None without labels.
        num_samples: Number of samples.
        num_not_finite: Samples with a NaN or infinite output.
        is_constant: Whether all samples have the same outputs.
        only_class: The class with the best score in all samples, if it is the same in every output
            of scores and there are no labels; else None.
        answers: Best class of each sample, (N,), if the first output scores classes.
        labels: Labels of the same samples, (N,), if labels are classes.
        errors: Absolute errors per sample of the network and of the best constant prediction,
            (N,) each, if labels are numbers.
        norms: Input shift of the first BatchNorm layers.
        fed: Minimum, maximum, mean and standard deviation of the network's inputs.
    """

    metrics: Metrics | None
    num_samples: int
    num_not_finite: int
    is_constant: bool
    answers: Tensor | None
    labels: Tensor | None
    errors: tuple[Tensor, Tensor] | None
    norms: tuple[NormShift, ...]
    fed: tuple[float, float, float, float]
    only_class: int | None = None

    @property
    def values(self) -> Mapping[str, float]:
        """Metrics by name; empty without labels."""
        return self.metrics.values if self.metrics is not None else MappingProxyType({})


def look(
    program: Program,
    source: SampleSource,
    indices: Tensor,
    labels: LabelKind,
    reading: Reading = PLAIN,
) -> Look:
    """Run the network once over the samples ``indices``; the network is not changed.

    Raises:
        DataError: The labels do not fit the outputs.
    """
    module = ProgramModule(program, copy=False).eval()
    norms = first_norms(program)
    moments = [Moments() for _ in norms]
    seen = _Seen(program, labels, reading)
    fed = tuple(node.all_input_nodes[0] for node in norms)
    batch_size = min(_BATCH_SIZE, fitting_batch(program))
    parts = indices.split(batch_size)
    with torch.inference_mode():
        for part, (x, y) in zip(parts, iterate(source, indices, batch_size), strict=True):
            outputs, inputs = module.run_and_keep((x,), fed)
            for moment, values in zip(moments, inputs, strict=True):
                moment.add(values)
            seen.add(float_outputs(outputs), x, y, part)
    shifts = tuple(m.shift(program, n) for m, n in zip(moments, norms, strict=True))
    return seen.look(shifts)


class _Seen:
    """Accumulator of outputs and labels over batches."""

    def __init__(self, program: Program, kind: LabelKind, reading: Reading) -> None:
        self._kind, self._threshold = kind, threshold(activation(program))
        self._judge = Judge(program, kind, reading=reading) if kind != "none" else None
        self._scores = score_outputs(program) if kind == "none" else ()
        self._best: list[Tensor] = []  # (least, greatest) best class of each batch and output
        self._num_samples, self._num_not_finite = 0, torch.zeros((), dtype=torch.int64)
        self._least: list[Tensor] = []
        self._most: list[Tensor] = []
        self._answers: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._outputs: list[Tensor] = []
        self._fed: list[Tensor] = []  # (minimum, maximum, sum, sum of squares) of each batch

    def add(self, outputs: list[Tensor], x: Tensor, y: Tensor | None, part: Tensor) -> None:
        self._num_samples += len(part)
        values = x.double()
        means = (values.mean() * len(part), values.square().mean() * len(part))
        self._fed.append(torch.stack([values.min(), values.max(), *means]))
        finite = [output.isfinite().flatten(1).all(1) for output in outputs if output.dim()]
        if finite:
            self._num_not_finite = self._num_not_finite + (~torch.stack(finite).all(0)).sum()
        self._bound(outputs)
        if self._judge is not None:
            self._judge.add(outputs, x, y, part)
        for index in self._scores:
            self._best.append(torch.stack(outputs[index].argmax(1).aminmax()))
        first = outputs[0] if outputs else None
        if first is None or y is None:
            return
        if self._kind == "classes" and first.dim() == _SCORES_RANK and first.shape[1] > 1:
            self._answers.append(first.argmax(1))
            self._labels.append(y)
        elif self._kind == "binary":
            self._answers.append((first.flatten() > self._threshold).long())
            self._labels.append(y.flatten().long())
        elif self._kind == "numbers":
            self._outputs.append(first.flatten(1))
            self._labels.append(y.reshape(first.shape).flatten(1).float())

    def look(self, norms: tuple[NormShift, ...]) -> Look:
        answers = torch.cat(self._answers).cpu() if self._answers else None
        is_numbers = bool(self._outputs)
        return Look(
            metrics=self._judge.metrics() if self._judge is not None else None,
            num_samples=self._num_samples,
            num_not_finite=int(self._num_not_finite),
            is_constant=self._is_constant(),
            answers=answers,
            labels=torch.cat(self._labels).cpu() if answers is not None else None,
            errors=self._errors() if is_numbers else None,
            norms=norms,
            fed=self._bounds(),
            only_class=self._only_class(),
        )

    def _only_class(self) -> int | None:
        """Return the class that all samples have; of several outputs, that of the first."""
        if self._num_samples < 2 or not self._best:  # noqa: PLR2004  # one sample has one class
            return None
        num = len(self._scores)
        each = [torch.stack(self._best[place::num]) for place in range(num)]
        if any(bool(found.min() < found.max()) for found in each):
            return None
        return int(each[0].min())

    def _bounds(self) -> tuple[float, float, float, float]:
        least, most, sums, squares = zip(*torch.stack(self._fed).tolist(), strict=True)
        mean = sum(sums) / self._num_samples
        variance = sum(squares) / self._num_samples - mean**2
        return min(least), max(most), mean, math.sqrt(max(0.0, variance))

    def _bound(self, outputs: list[Tensor]) -> None:
        least = [output.amin(0) for output in outputs]
        most = [output.amax(0) for output in outputs]
        if self._least:
            least = [a.minimum(b) for a, b in zip(self._least, least, strict=True)]
            most = [a.maximum(b) for a, b in zip(self._most, most, strict=True)]
        self._least, self._most = least, most

    def _is_constant(self) -> bool:
        if self._num_samples < 2 or not self._least:  # noqa: PLR2004  # a single sample is always constant
            return False
        return all(
            bool(((b - a).abs() <= _SAME * a.abs().maximum(b.abs()).max()).all())
            for a, b in zip(self._least, self._most, strict=True)
        )

    def _errors(self) -> tuple[Tensor, Tensor]:
        outputs, labels = torch.cat(self._outputs).cpu(), torch.cat(self._labels).cpu()
        best = labels.median(0).values  # the constant with the least absolute error
        return (outputs - labels).abs().mean(1), (labels - best).abs().mean(1)
