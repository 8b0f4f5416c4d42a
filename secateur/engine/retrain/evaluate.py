"""Score a program on held-out samples; float32, no gradients, nothing changes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from secateur.engine.intervals import proportion_interval
from secateur.engine.objectives.objectives import bce, check_labels, cross_entropy, fit_numbers, mse
from secateur.engine.objectives.options import LabelKind
from secateur.engine.objectives.outputs import (
    Activation,
    activation,
    float_outputs,
    score_outputs,
    threshold,
)
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.retrain.data import SampleSource, iterate
from secateur.engine.retrain.doubt import Counts, Doubt, Errors, Hits, macro_f1
from secateur.engine.retrain.ranking import Rank, rank

# Where less is better; of all other metrics, more is.
LOWER_IS_BETTER = frozenset({"mean_error", "output_error"})
_TOP = 5
_BATCH_SIZE = 256
_CACHE_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Metrics:
    """How good a network is on some samples.

    Attributes:
        loss: Mean cross-entropy (classes), binary cross-entropy (binary, multi_label) or squared
            error (numbers); without labels the squared relative distance to the reference's
            outputs.
        num_samples: How many samples that is about.
        values: What applies of ``top1``, ``top5``, ``macro_f1`` (shares), ``mean_error`` (mean
            absolute error), ``agreement`` (share of samples whose best classes are the
            reference's) and ``output_error`` (distance to the reference's outputs, as a share of
            their norm).
        primary: The name of the one that counts.
        doubt: Returns how far that one may be off.
    """

    loss: float
    num_samples: int
    values: Mapping[str, float]
    primary: str
    doubt: Callable[[], Doubt] = field(default=Doubt, compare=False, repr=False)

    @property
    def top1(self) -> float:
        """The share of samples whose best class is the right one."""
        return self.values["top1"]

    @property
    def score(self) -> float:
        """The metric that counts, negated where less is better: higher is better."""
        value = self.values[self.primary]
        return -value if self.primary in LOWER_IS_BETTER else value

    @property
    def rank(self) -> Rank:
        """What tells better networks from worse: the greater, the better."""
        return rank(self.score, self.loss)


class Reference:
    """The dense network's outputs on the samples that others are compared on, remembered."""

    def __init__(self, program: Program) -> None:
        self._module = ProgramModule(program, copy=False).eval()
        self._known: dict[bytes, list[Tensor]] = {}
        self._num_bytes = 0

    def outputs(self, x: Tensor, indices: Tensor) -> list[Tensor]:
        """Return the float outputs for inputs ``x``, which are the samples ``indices``."""
        key = indices.numpy().tobytes()
        found = self._known.get(key)
        if found is None:
            found = float_outputs(self._module.run((x,)))
            size = sum(output.nbytes for output in found)
            if self._num_bytes + size <= _CACHE_BYTES:
                self._known[key] = found
                self._num_bytes += size
        return found


def evaluate(
    program: Program,
    source: SampleSource,
    indices: Tensor,
    labels: LabelKind = "classes",
    reference: Reference | None = None,
    batch_size: int = _BATCH_SIZE,
) -> Metrics:
    """Return the metrics of ``program`` on the samples ``indices``.

    Args:
        program: What is scored.
        source: The samples.
        indices: Which of them.
        labels: What the source's labels are.
        reference: The dense network; needed where there are no labels.
        batch_size: Samples at once; does not change the result but for rounding.

    Raises:
        DataError: The labels do not fit the outputs.
    """
    module = ProgramModule(program, copy=False).eval()
    judge = Judge(program, labels, reference)
    parts = indices.split(batch_size)
    with torch.inference_mode():
        for part, (x, y) in zip(parts, iterate(source, indices, batch_size), strict=True):
            judge.add(float_outputs(module.run((x,))), x, y, part)
    return judge.metrics()


class Judge:
    """Sums up how good outputs are, whatever computes them."""

    def __init__(
        self, program: Program, labels: LabelKind, reference: Reference | None = None
    ) -> None:
        """Prepare to judge outputs that are shaped like those of ``program``."""
        self._labels, self._reference = labels, reference
        self._tallies: list[_Classes | _Binary | _MultiLabel | _Numbers | _AgainstReference] = []
        if labels != "none":
            self._tallies.append(_BY_LABELS[labels](activation(program)))
        if reference is not None:
            self._tallies.append(_AgainstReference(score_outputs(program)))
        self._num_samples = 0

    def add(self, outputs: list[Tensor], x: Tensor, labels: Tensor | None, part: Tensor) -> None:
        """Take in a batch: float outputs, inputs, labels, and the indices of its samples."""
        wanted = self._reference.outputs(x, part) if self._reference is not None else []
        self._num_samples += len(part)
        for tally in self._tallies:
            tally.add(outputs, labels, wanted)

    def metrics(self) -> Metrics:
        """Return the metrics of everything taken in."""
        total = self._num_samples
        values = {k: v for tally in self._tallies for k, v in tally.values(total).items()}
        loss = self._tallies[0].loss(total) if self._tallies else float("nan")
        primary = primary_metric(self._labels, values)
        doubt = partial(self._tallies[0].doubt, total) if self._tallies else Doubt
        return Metrics(loss, total, MappingProxyType(values), primary, doubt)


def primary_metric(labels: LabelKind, values: Mapping[str, float]) -> str:
    """Return the name of the metric that counts for a kind of labels."""
    by_kind = {
        "classes": "top1",
        "binary": "top1",
        "multi_label": "macro_f1",
        "numbers": "mean_error",
    }
    if labels in by_kind:
        return by_kind[labels]
    return "agreement" if "agreement" in values else "output_error"


class _Tally:
    """The loss, summed over samples."""

    def __init__(self) -> None:
        self.loss_sum = 0.0

    def loss(self, num_samples: int) -> float:
        return self.loss_sum / max(1, num_samples)

    def doubt(self, num_samples: int) -> Doubt:
        del num_samples
        return Doubt()


class _Classes(_Tally):
    def __init__(self, kind: Activation) -> None:
        super().__init__()
        self._kind = kind
        self._hits, self._near_hits = Hits(), 0
        self._counts_3C = torch.zeros(3, 1)  # true positives, predicted, labelled

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        output, checked = outputs[0], check_labels(labels, outputs[0])
        self.loss_sum += float(cross_entropy(output, checked, self._kind, reduction="sum"))
        num_classes = output.shape[1]
        if self._counts_3C.shape[1] != num_classes:
            self._counts_3C = torch.zeros(3, num_classes)
        best = output.argmax(1)
        self._hits.add(best == checked, wanted[0].argmax(1) == checked if wanted else None)
        if num_classes > _TOP:
            top = output.topk(_TOP, dim=1).indices
            self._near_hits += int((top == checked[:, None]).sum())
        self._counts_3C += torch.stack(
            [
                torch.bincount(values.cpu(), minlength=num_classes).float()
                for values in (best[best == checked], best, checked)
            ]
        )

    def values(self, num_samples: int) -> dict[str, float]:
        total = max(1, num_samples)
        found = {"top1": self._hits.num_hits / total, "macro_f1": macro_f1(self._counts_3C)}
        if self._counts_3C.shape[1] > _TOP:
            found["top5"] = self._near_hits / total
        return found

    def doubt(self, num_samples: int) -> Doubt:
        return self._hits.doubt(num_samples)


class _Binary(_Tally):
    """Two classes, told apart by one score."""

    def __init__(self, kind: Activation) -> None:
        super().__init__()
        self._kind = kind
        self._hits = Hits()
        self._counts_3C = torch.zeros(3, 2)

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        output, truth = outputs[0], fit_numbers(labels, outputs[0])
        self.loss_sum += float(bce(output, truth, self._kind, reduction="sum"))
        said = output.flatten() > threshold(self._kind)
        is_true = truth.flatten() > 0.5  # noqa: PLR2004
        before = wanted[0].flatten() > threshold(self._kind) if wanted else None
        self._hits.add(said == is_true, None if before is None else before == is_true)
        for number, (a, b) in enumerate(((~said, ~is_true), (said, is_true))):
            counts = torch.stack([(a & b).sum(), a.sum(), b.sum()])
            self._counts_3C[:, number] += counts.float().cpu()

    def values(self, num_samples: int) -> dict[str, float]:
        return {
            "top1": self._hits.num_hits / max(1, num_samples),
            "macro_f1": macro_f1(self._counts_3C),
        }

    def doubt(self, num_samples: int) -> Doubt:
        return self._hits.doubt(num_samples)


class _MultiLabel(_Tally):
    def __init__(self, kind: Activation) -> None:
        super().__init__()
        self._kind = kind
        self._counts_3C: Tensor | None = None
        self._by_sample = Counts()

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        output, truth = outputs[0], fit_numbers(labels, outputs[0])
        loss = bce(output, truth, self._kind, reduction="sum")
        self.loss_sum += float(loss) / output[0].numel()
        counts_N3C = self._count(output, truth)
        self._by_sample.add(counts_N3C, self._count(wanted[0], truth) if wanted else None)
        counts = counts_N3C.sum(0).float().cpu()
        self._counts_3C = counts if self._counts_3C is None else self._counts_3C + counts

    def values(self, num_samples: int) -> dict[str, float]:
        del num_samples
        counts = self._counts_3C if self._counts_3C is not None else torch.zeros(3, 1)
        return {"macro_f1": macro_f1(counts)}

    def doubt(self, num_samples: int) -> Doubt:
        return self._by_sample.doubt(num_samples)

    def _count(self, output: Tensor, truth: Tensor) -> Tensor:
        said = output > threshold(self._kind)
        is_true = truth > 0.5  # noqa: PLR2004
        return torch.stack([said & is_true, said, is_true], 1)


class _Numbers(_Tally):
    def __init__(self, kind: Activation) -> None:
        super().__init__()
        del kind
        self._error = 0.0
        self._errors = Errors()

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        output, truth = outputs[0], fit_numbers(labels, outputs[0])
        size = output[0].numel()
        self.loss_sum += float(mse(output, truth, reduction="sum")) / size
        self._error += float((output - truth).abs().sum()) / size
        before = (wanted[0] - truth).abs().flatten(1).mean(1) if wanted else None
        self._errors.add((output - truth).abs().flatten(1).mean(1), before)

    def values(self, num_samples: int) -> dict[str, float]:
        return {"mean_error": self._error / max(1, num_samples)}

    def doubt(self, num_samples: int) -> Doubt:
        return self._errors.doubt(num_samples)


class _AgainstReference(_Tally):
    def __init__(self, scores: tuple[int, ...]) -> None:
        super().__init__()
        self._scores = scores
        self._num_equal = 0
        self._squares: list[tuple[float, float]] = []

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        del labels
        squares = [
            (float((a.double() - b.double()).square().sum()), float(b.double().square().sum()))
            for a, b in zip(outputs, wanted, strict=True)
        ]
        before = self._squares or [(0.0, 0.0)] * len(squares)
        self._squares = [(a + c, b + d) for (a, b), (c, d) in zip(before, squares, strict=True)]
        if self._scores:
            is_equal = torch.stack(
                [outputs[i].argmax(1) == wanted[i].argmax(1) for i in self._scores]
            )
            self._num_equal += int(is_equal.all(0).sum())

    def values(self, num_samples: int) -> dict[str, float]:
        found = {"output_error": self._relative_square() ** 0.5}
        if self._scores:
            found["agreement"] = self._num_equal / max(1, num_samples)
        return found

    def loss(self, num_samples: int) -> float:
        del num_samples
        return self._relative_square()

    def doubt(self, num_samples: int) -> Doubt:
        if not self._scores:
            return Doubt()  # a distance that many outputs share: its doubt is not known
        return Doubt(proportion_interval(self._num_equal, num_samples))

    def _relative_square(self) -> float:
        """Return the squared distance over the squared norm, averaged over outputs."""
        shares = [error / max(norm, 1e-30) for error, norm in self._squares]
        return sum(shares) / max(1, len(shares))


_BY_LABELS: Mapping[
    LabelKind, type[_Classes] | type[_Binary] | type[_MultiLabel] | type[_Numbers]
] = {
    "classes": _Classes,
    "binary": _Binary,
    "multi_label": _MultiLabel,
    "numbers": _Numbers,
}
