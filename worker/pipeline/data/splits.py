"""Splits of a data set into training, validation and test: parsed from names, or drawn by seed."""

import re
from collections.abc import Iterable
from enum import IntEnum
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from app.contracts.spec import SplitSpec


class Split(IntEnum):
    """Part of a data set, by purpose."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


# Names used for folders, columns and arrays.
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
    """Return the split that a name alone denotes: ``Train``, ``valid``, ``test_set``."""
    found = _parse(name)
    return found[0] if found is not None and set(found[1]) <= _NOUNS else None


def splits_named(names: Iterable[str]) -> dict[str, Split] | None:
    """Return the split that each of several names denotes, or None unless all of them do.

    The rest of the names must be equal: ``seg_train`` and ``seg_test`` are splits,
    ``train_station`` and ``test_track`` are not.
    """
    found = {name: _parse(name) for name in names}
    rests = {parsed[1] if parsed is not None else None for parsed in found.values()}
    if None in rests or (len(rests) > 1 and any(not set(r or ()) <= _NOUNS for r in rests)):
        return None
    return {name: parsed[0] for name, parsed in found.items() if parsed is not None}


def _parse(name: str) -> tuple[Split, tuple[str, ...]] | None:
    """Return the single split among a name's words, and the other words."""
    words = _WORDS.findall(name.casefold())
    splits = [match for word in words if (match := _GLUED.fullmatch(word)) is not None]
    if len(splits) != 1:
        return None
    rest = tuple(word for word in words if word != splits[0][0])
    return SPLIT_WORDS[splits[0][1]], rest


def draw_validation(
    split: NDArray[np.uint8], spec: SplitSpec, groups: NDArray[np.int64] | None = None
) -> NDArray[np.uint8]:
    """Move a share of the training samples of a split (N,) to validation, if that is empty.

    Choosing the best epoch needs validation samples. A share of zero leaves the split unchanged.
    With ``groups`` (N,), the share is one of groups, and those stay together.
    """
    train = np.flatnonzero(split == Split.TRAIN)
    numbers = np.arange(len(train))
    if groups is not None:
        numbers = np.unique(groups[train], return_inverse=True)[1]
    num_groups = int(numbers.max(initial=-1)) + 1
    num_drawn = int(num_groups * Fraction(repr(spec.validation)))
    if num_drawn == 0 or (split == Split.VALIDATION).any():
        return split
    found = split.copy()
    order = np.random.default_rng(spec.seed).permutation(num_groups)
    found[train[np.isin(numbers, order[:num_drawn])]] = Split.VALIDATION
    return found


def draw_split(
    num_samples: int, spec: SplitSpec, groups: NDArray[np.int64] | None = None
) -> NDArray[np.uint8]:
    """Return a random split (N,) that depends only on the seed.

    Both shares are rounded down and sum to less than one, so at least one sample trains. With
    ``groups`` (N,), the shares are those of groups, and samples of one group stay together.
    """
    if groups is not None:
        kinds, numbers = np.unique(groups, return_inverse=True)
        return draw_split(len(kinds), spec)[numbers]
    order = np.random.default_rng(spec.seed).permutation(num_samples)
    # Exact decimals: in binary, 0.29 * 100 is 28.999….
    num_validation, num_test = (
        int(num_samples * Fraction(repr(share))) for share in (spec.validation, spec.test)
    )
    split = np.full(num_samples, Split.TRAIN, np.uint8)
    split[order[:num_validation]] = Split.VALIDATION
    split[order[num_validation : num_validation + num_test]] = Split.TEST
    return split
