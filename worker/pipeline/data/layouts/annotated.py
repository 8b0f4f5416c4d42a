"""Images with labels that are not one class for each, before any of them is decoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contracts.placement import Placement
from secateur.engine.objectives import LabelKind
from worker.pipeline.data.layouts.files import File
from worker.pipeline.data.left_out import LeftOut
from worker.pipeline.data.splits import Split


@dataclass(frozen=True)
class Annotated:
    """Images and their labels.

    Attributes:
        kind: Kind of the labels.
        images: The images that have labels.
        label: Returns the labels of an image by its number, for its place in the network's input
            and that input's height and width; every array has the same shape and type.
        shape: Returns the shape of that array for an input's height and width.
        dtype: Type of the array.
        splits: Split of each image; None if the archive gives none.
        class_names: Names of the classes, or the characters.
        are_named: Whether the archive names them.
        counts: Number of labels of each class; empty if classes are not counted.
        notes: Notes for the user, as sentences.
        left_out: Files that were not read.
    """

    kind: LabelKind
    images: Sequence[File]
    label: Callable[[int, Placement, tuple[int, int]], NDArray[Any]]
    shape: Callable[[tuple[int, int]], tuple[int, ...]]
    dtype: np.dtype[Any]
    splits: Sequence[Split] | None
    class_names: tuple[str, ...]
    are_named: bool = True
    counts: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
