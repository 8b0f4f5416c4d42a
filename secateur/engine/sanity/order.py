"""Are the labels those of another order? The classes that a network answers, against the labels.

A network whose answers are right but for the numbers of the classes has a confusion matrix with one
large entry in each row and column, off the diagonal.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST_A_CLASS = 5  # samples; with fewer, some order fits by luck


@dataclass(frozen=True)
class Order:
    """The order of classes under which the answers agree best with the labels.

    Attributes:
        answered: By label, the class that the network answers for it.
        share: Samples that are answered so.
        shift: What answers are ahead of labels, where it is the same for every class.
    """

    answered: dict[int, int]
    share: float
    shift: int | None

    @property
    def moved(self) -> dict[int, int]:
        """The labels whose class has another number."""
        return {label: answer for label, answer in self.answered.items() if label != answer}


def find_order(answers: Tensor, labels: Tensor) -> Order | None:
    """Return the best order; None where there are too few samples to tell.

    Labels and answers are matched greedily by how often they meet. Where the order is a real one,
    that is the best matching.
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
