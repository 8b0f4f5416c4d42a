"""Score a program on held-out samples, in float32 and without gradients."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from secateur.engine.metrics.doubt import ByClass, Doubt
from secateur.engine.metrics.ranking import Rank, rank
from secateur.engine.metrics.reading import PLAIN, Reading
from secateur.engine.metrics.reference import AgainstReference, Reference
from secateur.engine.metrics.scoring import Tally
from secateur.engine.metrics.scorings import METRICS, SCORINGS, primary_metric
from secateur.engine.objectives.labels import LabelKind
from secateur.engine.objectives.outputs import activation, float_outputs, score_outputs
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import num_analysed, propagate
from secateur.engine.samples import SampleSource, iterate

_BATCH_SIZE = 256
_BATCH_VALUES = 2**26  # of inputs and outputs together: masks and maps of boxes are large


@dataclass(frozen=True)
class Metrics:
    """Metrics of a network on some samples.

    Attributes:
        loss: Mean cross-entropy (classes), binary cross-entropy (binary, multi_label) or squared
            error (numbers); without labels, the squared relative distance to the reference's
            outputs.
        num_samples: Number of samples.
        values: The applicable metrics among ``top1``, ``top5``, ``macro_f1`` (shares),
            ``mean_error`` (mean absolute error), ``miou`` and ``dice`` (of masks), ``exact`` and
            ``cer`` (of texts), ``map50_95`` and ``map50`` (of boxes), ``oks_ap``,
            ``oks_ap50`` and ``pck`` (of keypoints), ``recall1`` and
            ``recall5`` (of identities), ``agreement`` (share of
            samples with the same best classes as the reference) and ``output_error`` (distance to
            the reference's outputs, as a share of their norm).
        primary: Name of the primary metric.
        doubt: Returns the confidence intervals of the primary metric.
        by_class: Returns the metrics of every class, for masks, boxes and keypoints.
    """

    loss: float
    num_samples: int
    values: Mapping[str, float]
    primary: str
    doubt: Callable[[], Doubt] = field(default=Doubt, compare=False, repr=False)
    by_class: Callable[[], tuple[ByClass, ...]] = field(default=tuple, compare=False, repr=False)

    @property
    def top1(self) -> float:
        """Share of samples whose best class is the label."""
        return self.values["top1"]

    @property
    def score(self) -> float:
        """Primary metric, negated if smaller is better, so that higher is always better."""
        return METRICS[self.primary].score(self.values[self.primary])

    @property
    def rank(self) -> Rank:
        """Rank among networks; higher is better."""
        return rank(self.score, self.loss)


def evaluate(  # noqa: PLR0913, PLR0917  # the network, the samples, and how to judge
    program: Program,
    source: SampleSource,
    indices: Tensor,
    labels: LabelKind = "classes",
    reference: Reference | None = None,
    batch_size: int | None = None,
    reading: Reading = PLAIN,
) -> Metrics:
    """Return the metrics of ``program`` on the samples ``indices``.

    Args:
        program: The network to score.
        source: The samples.
        indices: int64 indices of the samples to use, (N,).
        labels: Kind of the source's labels.
        reference: The dense network; required without labels.
        batch_size: Samples per batch; changes the result only by rounding. None: 256, fewer if
            inputs and outputs are large.
        reading: The form of the outputs.

    Raises:
        DataError: The labels do not fit the outputs.
    """
    module = ProgramModule(program, copy=False).eval()
    judge = Judge(program, labels, reference, reading)
    batch_size = batch_size or fitting_batch(program)
    parts = indices.split(batch_size)
    with torch.inference_mode():
        for part, (x, y) in zip(parts, iterate(source, indices, batch_size), strict=True):
            judge.add(float_outputs(module.run((x,))), x, y, part)
    return judge.metrics()


def fitting_batch(program: Program) -> int:
    """Return how many samples to evaluate at once, at most 256."""
    shapes = propagate(program)
    outputs = [each for each in shapes[program.graph.output_node()] if isinstance(each, Tensor)]
    num_values = sum(each.numel() // num_analysed(program) for each in outputs)
    for spec in program.inputs:
        num_values += math.prod(size or 1 for size in spec.shape[1:])
    return max(1, min(_BATCH_SIZE, _BATCH_VALUES // max(1, num_values)))


class Judge:
    """Accumulator of metrics for outputs from any source."""

    def __init__(
        self,
        program: Program,
        labels: LabelKind,
        reference: Reference | None = None,
        reading: Reading = PLAIN,
    ) -> None:
        """Prepare to judge outputs with the structure of ``program``'s outputs."""
        self._reference = reference
        self._tallies: list[Tally] = []
        make_tally = SCORINGS[labels].tally
        if make_tally is not None:
            self._tallies.append(make_tally(activation(program), reading))
        scores = score_outputs(program) if reference is not None else ()
        if reference is not None:
            self._tallies.append(AgainstReference(scores))
        self._primary = primary_metric(labels, has_scores=bool(scores))
        self._num_samples = 0

    def add(self, outputs: list[Tensor], x: Tensor, labels: Tensor | None, part: Tensor) -> None:
        """Add a batch: float outputs, inputs, labels, and the indices of its samples."""
        wanted = self._reference.outputs(x, part) if self._reference is not None else []
        self._num_samples += len(part)
        for tally in self._tallies:
            tally.add(outputs, labels, wanted)

    def metrics(self) -> Metrics:
        """Return the metrics of all added batches."""
        total = self._num_samples
        values = {k: v for tally in self._tallies for k, v in tally.values(total).items()}
        loss = self._tallies[0].loss(total) if self._tallies else float("nan")
        doubt = partial(self._tallies[0].doubt, total) if self._tallies else Doubt
        by_class = partial(self._tallies[0].by_class, total) if self._tallies else tuple
        return Metrics(loss, total, MappingProxyType(values), self._primary, doubt, by_class)
