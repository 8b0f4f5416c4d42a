"""A data set as the pipeline sees it: samples by index, labels, splits, class names."""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.contracts.spec import PreprocessSpec
from worker.engine.errors import DataError
from worker.pipeline.data.images import read_image_folders
from worker.pipeline.data.npz import read_npz

_SPLIT_SEED = 0
_IMAGE_RANK = 4


class Split(IntEnum):
    """What a sample is for."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


@dataclass(frozen=True)
class RawData:
    """What a reader found.

    Attributes:
        x: Samples (N, C, H, W) or (N, F); memory-mapped, bytes or floats.
        y: int64 (N,).
        split: uint8 (N,), or None when the file does not say.
        class_names: One for each label.
    """

    x: NDArray[Any]
    y: NDArray[np.int64]
    split: NDArray[np.uint8] | None
    class_names: tuple[str, ...]


class Dataset:
    """Preprocessed samples; implements the engine's `SampleSource`."""

    def __init__(self, raw: RawData, preprocess: PreprocessSpec) -> None:
        self._x = raw.x
        self._y = torch.from_numpy(raw.y)
        self.class_names = raw.class_names
        self._split = raw.split if raw.split is not None else _made_split(len(raw.y))
        scale = preprocess.scale
        if scale is None:
            scale = 1 / 255 if raw.x.dtype == np.uint8 else 1.0
        mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
        num_channels = raw.x.shape[1]
        if raw.x.ndim == _IMAGE_RANK:
            if len(mean) not in {1, num_channels}:
                raise DataError(
                    f"preprocess gives {len(mean)} means, the samples have {num_channels} channels"
                )
            mean, std = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
        self._scale, self._mean, self._std = scale, mean, std

    def __len__(self) -> int:
        return len(self._y)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return float32 inputs and int64 labels of the samples ``indices``."""
        raw = torch.from_numpy(np.ascontiguousarray(self._x[indices.numpy()]))
        return (raw.float() * self._scale - self._mean) / self._std, self._y[indices]

    def indices(self, split: Split) -> Tensor:
        """Return int64 indices of the samples of a split."""
        return torch.from_numpy(np.flatnonzero(self._split == split))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self._x.shape[1:])

    @property
    def num_classes(self) -> int:
        """One more than the largest label."""
        return int(self._y.max()) + 1

    def summary(self) -> dict[str, Any]:
        """Return what a user wants to see of the data set, as JSON."""
        counts = torch.bincount(self._y, minlength=self.num_classes)
        return {
            "num_samples": len(self),
            "sample_shape": list(self.sample_shape),
            "dtype": str(self._x.dtype),
            "num_classes": self.num_classes,
            "class_names": list(self.class_names),
            "class_counts": counts.tolist(),
            "splits": {s.name.lower(): int((self._split == s).sum()) for s in Split},
        }


def open_dataset(  # a file and everything it is read with
    path: Path,
    kind: str,
    preprocess: PreprocessSpec,
    scratch: Path,
    *,
    image_pixels: int,
    image_shape: tuple[int, ...] | None = None,
) -> Dataset:
    """Open an uploaded data set.

    Args:
        path: The file.
        kind: ``npz`` or ``zip``.
        preprocess: How raw values become inputs.
        scratch: A private folder for unpacked arrays.
        image_pixels: Most pixels an image may decode to.
        image_shape: (C, H, W) that images are decoded to, where the spec does not say.

    Raises:
        DataError: The file is not what it should be; value and limit are named.
    """
    if kind == "npz":
        return Dataset(RawData(*read_npz(path, scratch)), preprocess)
    found = read_image_folders(path, preprocess, scratch, image_pixels, image_shape)
    return Dataset(RawData(*found), preprocess)


def _made_split(num_samples: int) -> NDArray[np.uint8]:
    """Return 80 % training, 10 % validation and 10 % test samples, always the same ones."""
    order = np.random.default_rng(_SPLIT_SEED).permutation(num_samples)
    split = np.full(num_samples, Split.TRAIN, np.uint8)
    tenth = num_samples // 10
    split[order[:tenth]] = Split.VALIDATION
    split[order[tenth : 2 * tenth]] = Split.TEST
    return split
