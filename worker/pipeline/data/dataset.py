"""A data set as the pipeline sees it: samples by index, labels, splits, class names."""

from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from app.contracts.spec import PreprocessSpec, SplitSpec
from secateur.engine.errors import DataError
from secateur.engine.objectives import LabelKind
from worker.pipeline.data.notes import imbalance, label_notes, pixel_notes, split_notes
from worker.pipeline.data.raw import RawData
from worker.pipeline.data.rows import Rows
from worker.pipeline.data.splits import Split, draw_split, draw_validation
from worker.pipeline.data.statistics import Statistics, measure

_LARGEST_BYTE = 255.0
_BYTE_SCALE = 1 / 255


class Dataset:
    """Preprocessed samples; implements the engine's `SampleSource`.

    Attributes:
        labels_kind: Kind of labels.
        class_names: One name per class, or per column of multi-label rows.
        num_classes: Number of classes; 0 for other kinds of labels.
        are_labels_named: True if the file names the classes.
        are_labels_one_hot: True if the file stores classes as one-hot rows.
        is_split_given: True if the file gives the split; otherwise it is drawn.
    """

    def __init__(self, raw: RawData, preprocess: PreprocessSpec, split: SplitSpec) -> None:
        self._rows = raw.rows
        self._notes = (
            *(entry.note() for entry in raw.left_out),
            *raw.notes,
            *raw.labels.notes,
        )
        self._left_out = raw.left_out
        labels = raw.labels
        self._y = None if labels.values is None else torch.from_numpy(labels.values)
        self._y_rows, self._label_counts = labels.rows, labels.counts
        self.labels_kind: LabelKind = labels.kind
        self.class_names = labels.class_names
        self.num_classes = labels.num_classes
        self.are_labels_named, self.are_labels_one_hot = labels.is_named, labels.is_one_hot
        self.is_split_given = raw.split is not None
        self._split = (
            draw_split(len(raw.rows), split, self._identities) if raw.split is None else raw.split
        )
        self._preprocess = preprocess
        self._is_bytes = raw.rows.dtype == np.uint8
        scale = preprocess.scale
        if scale is None:
            scale = _BYTE_SCALE if self._is_bytes else 1.0
        num_channels = raw.rows.sample_shape[0]
        if len(preprocess.mean) not in {1, num_channels}:
            raise DataError(
                f"preprocess gives {len(preprocess.mean)} means, the samples have {num_channels} "
                "channels"
            )
        per_channel = (1, -1, *(1 for _ in raw.rows.sample_shape[1:]))
        self._scale = scale
        self._mean = torch.tensor(preprocess.mean).view(per_channel)
        self._std = torch.tensor(preprocess.std).view(per_channel)
        self._placed: dict[torch.device, tuple[Tensor, Tensor]] = {}
        largest = _LARGEST_BYTE if self._is_bytes else 1.0
        ends = [(pixel * scale - self._mean) / self._std for pixel in (0.0, largest)]
        if not torch.cat(ends).isfinite().all():
            raise DataError(
                f"preprocess turns a pixel of {largest:g} into a number that float32 cannot hold: "
                f"scale is {scale:g}, mean {list(preprocess.mean)}, std {list(preprocess.std)}"
            )

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return float32 inputs and labels of the samples ``indices``.

        Labels are int64 (N,) for classes, float32 (N,) or (N, K) for numbers, float32 zeros and
        ones (N,) for binary and (N, K) for multi-label data, and None without labels. Masks are
        uint8 (N, H, W) with 255 for pixels that do not count, texts int64 (N, L) with -1 after the
        end, boxes float32 (N, M, 6): class, x0, y0, x1, y1 in pixels of the input, is_crowd, with
        class -1 after the last box.
        """
        x, labels = self.raw(indices)
        return self.prepare(x), labels

    def raw(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the samples ``indices`` as they are stored, such as bytes, and their labels."""
        x = torch.from_numpy(self._rows.read(indices.numpy()))
        if self._y_rows is not None:
            labels = torch.from_numpy(self._y_rows.read(indices.numpy()))
            return x, labels.long() if labels.dtype == torch.int32 else labels
        return x, None if self._y is None else self._y[indices]

    def prepare(self, x: Tensor) -> Tensor:
        """Return raw samples as network inputs in float32, on their device; may overwrite ``x``."""
        mean, std = self._mean_and_std(x.device)
        # In place: a batch may be large.
        return x.float().mul_(self._scale).sub_(mean).div_(std)

    def _mean_and_std(self, device: torch.device) -> tuple[Tensor, Tensor]:
        found = self._placed.get(device)
        if found is None:
            found = self._placed[device] = self._mean.to(device), self._std.to(device)
        return found

    def first(self) -> tuple[Tensor, Tensor | None]:
        """Return a batch with only the first sample."""
        return self.batch(torch.zeros(1, dtype=torch.int64))

    @property
    def lowest_class(self) -> int:
        """The smallest label; valid only if labels are classes."""
        assert self._y is not None  # noqa: S101  # labels are classes
        return int(self._y.min())

    def with_validation(self, spec: SplitSpec) -> "Dataset":
        """Return the data set with validation samples drawn from training if it has none."""
        split = draw_validation(self._split, spec, self._identities)
        num_drawn = int((split != self._split).sum())
        if not self.is_split_given or num_drawn == 0:
            return self
        found = copy(self)
        found.__dict__.pop("notes", None)
        found.__dict__.pop("statistics", None)
        found._split = split  # noqa: SLF001  # same class
        note = (
            f"the file has no validation split: {num_drawn} of its training samples were drawn for "
            "it, according to config.split"
        )
        found._notes = (*self._notes, note)  # noqa: SLF001  # likewise
        return found

    def labels_as(self, kind: LabelKind) -> "Dataset":
        """Return the data set with its classes converted to another kind of labels.

        ``binary`` and ``numbers`` hold the class as a number, ``multi_label`` as a one-hot row, and
        ``identities`` are the classes themselves.
        """
        assert self._y is not None  # noqa: S101  # labels are classes
        found = copy(self)
        found.labels_kind = kind
        if kind == "multi_label":
            found._y = one_hot(self._y, self.num_classes).float()  # noqa: SLF001  # same class
            found.num_classes = 0
        elif kind != "identities":
            found._y = self._y.float()  # noqa: SLF001  # likewise
        if kind == "numbers":
            found.class_names, found.num_classes = (), 0
        return found

    def without_labels(self) -> "Dataset":
        """Return the data set without its labels."""
        found = copy(self)
        found._y = found._y_rows = None  # noqa: SLF001  # same class
        found.labels_kind, found.class_names, found.num_classes = "none", (), 0
        return found

    def with_class_names(self, names: tuple[str, ...]) -> "Dataset":
        """Return the data set with other names of its classes."""
        found = copy(self)
        found.class_names, found.num_classes = names, len(names)
        return found

    def indices(self, split: Split) -> Tensor:
        """Return int64 indices of the samples of a split."""
        return torch.from_numpy(np.flatnonzero(self._split == split))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self._rows.sample_shape

    def repeats(self, split: Split) -> bool:
        """Return whether a class or an identity occurs twice in a split."""
        assert self._y is not None  # noqa: S101  # labels are classes or identities
        found = self._y[self.indices(split)]
        return len(found.unique()) < len(found)

    @property
    def split_sizes(self) -> dict[Split, int]:
        """The number of samples in each split."""
        return {split: int((self._split == split).sum()) for split in Split}

    @property
    def split(self) -> NDArray[np.uint8]:
        """Split of each sample, (N,)."""
        return self._split

    @property
    def classes(self) -> NDArray[np.int64] | None:
        """Class of each sample, (N,); None for other kinds of labels."""
        return self._y.numpy() if self._y is not None and self.labels_kind == "classes" else None

    @property
    def _identities(self) -> NDArray[np.int64] | None:
        """Identity of each sample, (N,): recall needs both images of a pair in one split."""
        return None if self._y is None or self.labels_kind != "identities" else self._y.numpy()

    @property
    def rows(self) -> Rows:
        """The samples as they are stored."""
        return self._rows

    @property
    def preprocess(self) -> PreprocessSpec:
        """How raw values become inputs, in numbers."""
        return self._preprocess

    @property
    def pixel_range(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and std, one value or one per channel, such that ``x * std + mean`` is in [0, 1].

        None if unknown: the raw data are floats, or the scale is not 1/255.
        """
        if not self._is_bytes or self._scale != _BYTE_SCALE:
            return None
        return self._preprocess.mean, self._preprocess.std

    @cached_property
    def statistics(self) -> Statistics:
        """Mean and standard deviation of the training split; see `measure`."""
        return measure(self._rows, np.flatnonzero(self._split == Split.TRAIN))

    @cached_property
    def notes(self) -> list[str]:
        """Notes for the user about anything unusual in the data, as sentences."""
        train_counts = self._class_counts(self._split == Split.TRAIN)
        notes = [
            *self._notes,
            *label_notes(self.labels_kind, self.class_names, train_counts),
            *split_notes(self.labels_kind, self.split_sizes),
        ]
        is_scaled = self._is_bytes or self._preprocess.scale is not None
        return [*notes, *pixel_notes(self.statistics, is_scaled=is_scaled)]

    def summary(self) -> dict[str, Any]:
        """Return a summary of the data set as JSON."""
        counts = self._class_counts(np.full(len(self), fill_value=True))
        return {
            "num_samples": len(self),
            "sample_shape": list(self.sample_shape),
            "dtype": str(self._rows.dtype),
            "labels": self.labels_kind,
            "num_classes": self.num_classes,
            "class_names": list(self.class_names),
            "class_counts": counts,
            "imbalance": imbalance(counts) if self.labels_kind == "classes" else None,
            "splits": {s.name.lower(): size for s, size in self.split_sizes.items()},
            "statistics": self.statistics.to_json(),
            "left_out": [entry.to_json() for entry in self._left_out],
            "notes": self.notes,
        }

    def _class_counts(self, chosen: NDArray[np.bool_]) -> list[int]:
        """Return the number of samples per class among ``chosen`` (N,); empty without classes."""
        if self._label_counts:
            return list(self._label_counts) if bool(chosen.all()) else []
        if self._y is None or self.labels_kind not in {"classes", "multi_label"}:
            return []
        y = self._y[torch.from_numpy(chosen)]
        if self.labels_kind == "multi_label":
            return [int(count) for count in y.sum(0, dtype=torch.float64)]
        return [int(count) for count in torch.bincount(y, minlength=self.num_classes)]
