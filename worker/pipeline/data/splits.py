"""What a sample is for: training, validation or test; as the file says, or drawn by a seed."""

import re
from collections.abc import Iterable
from enum import IntEnum
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from app.contracts.spec import SplitSpec


class Split(IntEnum):
    """What a sample is for."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


# As folders, columns and arrays call them.
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), Split.TRAIN),
    **dict.fromkeys(
        ("val", "valid", "validate", "validation", "dev", "development"), Split.VALIDATION
    ),
    **dict.fromkeys(("eval", "evaluation"), Split.VALIDATION),
    **dict.fromkeys(("test", "testing", "tst"), Split.TEST),
}
_NOUNS = frozenset({"set", "data", "dataset", "images", "imgs", "split", "folder"})
_WORDS = re.compile(r"\d+|[^\W\d_]+")
_GLUED = re.compile(f"({'|'.join(SPLIT_WORDS)})(?:{'|'.join(_NOUNS)})?")


def split_named(name: str) -> Split | None:
    """Return the split that a name means in itself: ``Train``, ``valid``, ``test_set``."""
    found = _parse(name)
    return found[0] if found is not None and set(found[1]) <= _NOUNS else None


def splits_named(names: Iterable[str]) -> dict[str, Split] | None:
    """Return the split that each of several names means, if all of them do.

    What is left of the names must be the same: ``seg_train`` and ``seg_test`` are splits,
    ``train_station`` and ``test_track`` are not.
    """
    found = {name: _parse(name) for name in names}
    rests = {parsed[1] if parsed is not None else None for parsed in found.values()}
    if None in rests or (len(rests) > 1 and any(not set(r or ()) <= _NOUNS for r in rests)):
        return None
    return {name: parsed[0] for name, parsed in found.items() if parsed is not None}


def _parse(name: str) -> tuple[Split, tuple[str, ...]] | None:
    """Return the one split that a name has among its words, and the other words."""
    words = _WORDS.findall(name.casefold())
    splits = [match for word in words if (match := _GLUED.fullmatch(word)) is not None]
    if len(splits) != 1:
        return None
    rest = tuple(word for word in words if word != splits[0][0])
    return SPLIT_WORDS[splits[0][1]], rest


def draw_validation(split: NDArray[np.uint8], spec: SplitSpec) -> NDArray[np.uint8]:
    """Return a split (N,) in which a share of the training samples validates, if none did.

    Without any, nothing would say which epoch is best. A share of zero leaves the split as it is.
    """
    train = np.flatnonzero(split == Split.TRAIN)
    num_drawn = int(len(train) * Fraction(repr(spec.validation)))
    if num_drawn == 0 or (split == Split.VALIDATION).any():
        return split
    found = split.copy()
    order = np.random.default_rng(spec.seed).permutation(len(train))
    found[train[order[:num_drawn]]] = Split.VALIDATION
    return found


def draw_split(num_samples: int, spec: SplitSpec) -> NDArray[np.uint8]:
    """Return the split of every sample (N,); the same seed gives the same one.

    Both shares are rounded down and sum to less than one, so a sample is left for training.
    """
    order = np.random.default_rng(spec.seed).permutation(num_samples)
    # As decimals: 0.29 * 100 is 28.999… in binary.
    num_validation, num_test = (
        int(num_samples * Fraction(repr(share))) for share in (spec.validation, spec.test)
    )
    split = np.full(num_samples, Split.TRAIN, np.uint8)
    split[order[:num_validation]] = Split.VALIDATION
    split[order[num_validation : num_validation + num_test]] = Split.TEST
    return split
