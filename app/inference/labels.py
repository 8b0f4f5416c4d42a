"""Labels from a network's scores, according to the kind of its outputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.inference.servable import Servable
from app.serving.description import Arrays

Scores = NDArray[np.float64]

_SCORES_RANK = 2
_CLOSE = 1e-3
_BINARY = frozenset({"binary_logit", "binary_probability"})


def labelled_output(model: Servable, outputs: Arrays) -> tuple[str, str] | None:
    """Return the name and kind of the first output that holds scores, or None.

    Models stored before kinds existed have scores if their first output has two dimensions:
    probabilities if every row is a distribution, logits otherwise.
    """
    if model.output_kinds:
        for name, array in outputs.items():
            kind = model.output_kinds.get(name, "other")
            if kind in _PROBABILITIES and _may_be(array, kind):
                return name, kind
        return None
    name, first = next(iter(outputs.items()))
    if not _may_be(first, "logits"):
        return None
    is_whole = bool((first >= 0).all()) and np.allclose(first.sum(axis=1), 1, atol=_CLOSE)
    return name, "probabilities" if is_whole and first.shape[1] > 1 else "logits"


def _may_be(array: NDArray[Any], kind: str) -> bool:
    """Return whether an output has the shape of a kind of scores: a job's process told the kind."""
    if array.dtype.kind != "f" or not array.size or not array.ndim:
        return False
    return array.size == len(array) if kind in _BINARY else array.ndim == _SCORES_RANK


def best_labels(
    scores: NDArray[Any], kind: str, names: Sequence[str], top_k: int
) -> list[list[dict[str, Any]]]:
    """Return the labels of every sample, most probable first.

    Args:
        scores: (N, classes); (N,) or (N, 1) for a binary network.
        kind: Kind of the scores.
        names: Names of the classes; classes without a name use their index.
        top_k: Number of labels per sample.
    """
    return [
        [
            {
                "label": names[index] if index < len(names) else str(index),
                "index": index,
                "score": float(row[index]),
            }
            for index in np.argsort(-row, kind="stable")[:top_k].tolist()
        ]
        for row in _PROBABILITIES[kind](scores.astype(np.float64))
    ]


def _softmax(scores: Scores) -> Scores:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Scores = shifted / shifted.sum(axis=1, keepdims=True)
    return found


def _sigmoid(scores: Scores) -> Scores:
    found: Scores = 0.5 * (1 + np.tanh(scores / 2))  # a sigmoid that cannot overflow
    return found


def _both(probabilities: Scores) -> Scores:
    """Return the probabilities of the negative and the positive class."""
    yes = probabilities.reshape(len(probabilities), 1)
    return np.concatenate([1 - yes, yes], axis=1)


_PROBABILITIES: Mapping[str, Callable[[Scores], Scores]] = {
    "logits": _softmax,
    "probabilities": lambda scores: scores,
    "log_probabilities": np.exp,
    "label_logits": _sigmoid,
    "label_probabilities": lambda scores: scores,
    "binary_logit": lambda scores: _both(_sigmoid(scores)),
    "binary_probability": _both,
}
