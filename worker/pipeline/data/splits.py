"""What a sample is for: training, validation or test; as the file says, or drawn by a seed."""

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


# As folders and columns call them.
SPLIT_NAMES = {
    "train": Split.TRAIN,
    "val": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "test": Split.TEST,
}


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
