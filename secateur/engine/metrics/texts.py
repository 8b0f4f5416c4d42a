"""Metrics of text recognition: exact lines, and the rate of wrong characters."""

from torch import Tensor

from secateur.engine.metrics.doubt import Doubt, Hits
from secateur.engine.metrics.metric import Metric
from secateur.engine.metrics.reading import Reading
from secateur.engine.metrics.scoring import LossSum, Scoring
from secateur.engine.objectives.ctc import CTC, PADDING, ctc_loss
from secateur.engine.objectives.outputs import Activation


class _Texts(LossSum):
    def __init__(self, kind: Activation, reading: Reading) -> None:
        super().__init__()
        del kind
        self._reading = reading
        self._hits = Hits()
        self._num_wrong = self._num_characters = 0

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Add a batch: float outputs, labels, and the reference's outputs if there is one."""
        axis, is_first = self._reading.class_axis, self._reading.is_blank_first
        loss = ctc_loss(outputs[0], labels, class_axis=axis, is_blank_first=is_first)
        assert labels is not None  # noqa: S101  # `ctc_loss` has checked
        self.loss_sum += float(loss) * len(labels)
        truth = [[each for each in row if each != PADDING] for row in labels.tolist()]
        found = greedy(outputs[0], axis, is_blank_first=is_first)
        before = greedy(wanted[0], axis, is_blank_first=is_first) if wanted else None
        is_right = labels.new_tensor([a == b for a, b in zip(found, truth, strict=True)]).bool()
        was_right = None
        if before is not None:
            pairs = zip(before, truth, strict=True)
            was_right = labels.new_tensor([a == b for a, b in pairs]).bool()
        self._hits.add(is_right, was_right)
        self._num_wrong += sum(edits(a, b) for a, b in zip(found, truth, strict=True))
        self._num_characters += sum(map(len, truth))

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        return {
            "exact": self._hits.num_hits / max(1, num_samples),
            "cer": self._num_wrong / max(1, self._num_characters),
        }

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of the primary metric."""
        return self._hits.doubt(num_samples)


def greedy(output: Tensor, class_axis: int, *, is_blank_first: bool) -> list[list[int]]:
    """Return the characters of each line, counted without the blank: repeats merge, blanks go."""
    path_NT = output.argmax(class_axis)
    blank = 0 if is_blank_first else output.shape[class_axis] - 1
    lines = []
    for path in path_NT.tolist():
        pairs = zip(path, [None, *path[:-1]], strict=True)
        kept = [each for each, last in pairs if each not in {last, blank}]
        lines.append([each - is_blank_first for each in kept])
    return lines


def edits(found: list[int], truth: list[int]) -> int:
    """Return the least number of insertions, deletions and replacements (Levenshtein 1966)."""
    row = list(range(len(truth) + 1))
    for number, each in enumerate(found, 1):
        before, row[0] = row[0], number
        for place, other in enumerate(truth, 1):
            cost = before + (each != other)
            before, row[place] = row[place], min(cost, row[place] + 1, row[place - 1] + 1)
    return row[-1]


EXACT = Metric("exact", "exact lines")
CER = Metric("cer", "character error rate", is_less_better=True)
TEXTS = Scoring("texts", CTC, "texts", "CTC loss", (EXACT, CER), _Texts)
