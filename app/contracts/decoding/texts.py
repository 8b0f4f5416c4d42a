"""Greedy decoding of text recognisers trained with CTC (Graves et al. 2006)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.contracts.task_spec import Blank

Array = NDArray[Any]
_RANK = 3
_CLOSE = 1e-3


class Line(NamedTuple):
    """One decoded line.

    Attributes:
        classes: Classes of the characters, counted without the blank.
        score: Mean probability of the characters; 0 for an empty line.
    """

    classes: list[int]
    score: float

    def text(self, characters: Sequence[str]) -> str:
        """Return the characters as text; unknown classes become U+FFFD."""
        return "".join(
            characters[number] if number < len(characters) else "\ufffd" for number in self.classes
        )


def class_axis(shape: Sequence[int], num_classes: int) -> int | None:
    """Return the axis of the classes in an output (N, T, C) or (N, C, T); None if there is none."""
    if len(shape) != _RANK:
        return None
    return next((axis for axis in (2, 1) if shape[axis] == num_classes), None)


def decode_texts(output: Array, axis: int, blank: Blank) -> list[Line]:
    """Return the greedy decoding of each line: repeats merge, then blanks go.

    Args:
        output: Scores (N, T, C) or (N, C, T).
        axis: Axis of the classes.
        blank: Place of the blank among the classes.
    """
    scores_NTC = output if axis == 2 else output.transpose(0, 2, 1)  # noqa: PLR2004
    return [_decode(each, blank) for each in scores_NTC]


def _decode(scores_TC: Array, blank: Blank) -> Line:
    number = 0 if blank == "first" else scores_TC.shape[1] - 1
    path = scores_TC.argmax(1)
    is_new = np.ones(len(path), np.bool_)
    is_new[1:] = path[1:] != path[:-1]
    places = np.flatnonzero(is_new & (path != number))
    if len(places) == 0:
        return Line([], 0.0)
    shares = _probabilities(scores_TC[places].astype(np.float64))
    found = path[places]
    score = float(shares[np.arange(len(places)), found].mean())
    return Line([int(each) - (blank == "first") for each in found], score)


def _probabilities(scores: Array) -> Array:
    if (scores >= 0).all() and (abs(scores.sum(1) - 1) < _CLOSE).all():
        return scores
    raised = np.exp(scores - scores.max(1, keepdims=True))
    found: Array = raised / raised.sum(1, keepdims=True)
    return found
