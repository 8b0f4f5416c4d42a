"""Contents of a data set file before preprocessing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.contracts.placement import Fit
from worker.pipeline.data.labels import Labels
from worker.pipeline.data.left_out import LeftOut
from worker.pipeline.data.rows import Rows


@dataclass(frozen=True)
class RawData:
    """Contents of a data set file.

    Attributes:
        rows: Samples (N, C, H, W) or (N, F), on disk; bytes or floats.
        labels: Labels of all samples.
        split: uint8 (N,), or None if the file gives no split.
        notes: Notes for the user, as sentences.
        left_out: Parts of the file that were not read.
        fit: How the images got their size, if that was not left to the default.
    """

    rows: Rows
    labels: Labels
    split: NDArray[np.uint8] | None
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    fit: Fit | None = None
