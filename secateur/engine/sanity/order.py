"""Detect labels numbered in another order than the network's classes.

If the predictions are right except for the numbering of the classes, the confusion matrix has one
large entry in each row and column, off the diagonal.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST_A_CLASS = 5  # samples; with fewer, some order fits by chance


@dataclass(frozen=True)
class Order:
    """The mapping of labels to classes that agrees best with the predictions.

    Attributes:
        answered: The predicted class for each label.
        share: Share of samples that follow the mapping.
        shift: Class minus label if it is the same for every class, else None.
    """

    answered: dict[int, int]
    share: float
    shift: int | None

    @property
    def moved(self) -> dict[int, int]:
        """Labels that differ from their class."""
        return {label: answer for label, answer in self.answered.items() if label != answer}


def find_order(answers: Tensor, labels: Tensor) -> Order | None:
    """Return the best mapping of labels (N,) to predictions (N,); None with too few samples.

    Labels and predictions are matched greedily by how often they occur together. If the labels
    really have another order, greedy matching is optimal.
    """
    present = labels.unique()
    if len(labels) < _LEAST_A_CLASS * len(present) or len(present) < 2:  # noqa: PLR2004
        return None
    num_classes = int(max(labels.max(), answers.max())) + 1
    counts = torch.bincount(labels * num_classes + answers, minlength=num_classes**2)
    answered: dict[int, int] = {}
    taken: set[int] = set()
    num_right = 0
    for place in counts.argsort(descending=True, stable=True).tolist():
        label, answer = divmod(place, num_classes)
        count = int(counts[place])
        if count == 0:
            break
        if label not in answered and answer not in taken:
            answered[label] = answer
            taken.add(answer)
            num_right += count
    shifts = {answer - label for label, answer in answered.items()}
    shift = shifts.pop() if len(shifts) == 1 and len(answered) == len(present) else None
    return Order(answered, num_right / len(labels), shift)
