"""What a reader found in a file, before anything is preprocessed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.pipeline.data.labels import Labels
from worker.pipeline.data.left_out import LeftOut
from worker.pipeline.data.rows import Rows


@dataclass(frozen=True)
class RawData:
    """What a reader found.

    Attributes:
        rows: Samples (N, C, H, W) or (N, F), on disk; bytes or floats.
        labels: Of every sample.
        split: uint8 (N,), or None when the file does not say.
        notes: What the user should know, in sentences.
        left_out: What was not read.
    """

    rows: Rows
    labels: Labels
    split: NDArray[np.uint8] | None
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
