"""Chooses a few images of a data set and makes them small, for its page in the dashboard."""

from base64 import b64encode
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from app.contracts.examples import (
    MOST_BOXES,
    MOST_EXAMPLES,
    MOST_POINTS,
    MOST_SIDE,
    Box,
    Example,
    Point,
)
from worker.pipeline.data.dataset import Dataset
from worker.pipeline.data.splits import Split

_RGB = 3
_IMAGE_RANK = 4  # (N, C, H, W)
_MOST_CHARACTERS = 200
_MOST_NAMED = 5
_IGNORED = 255  # of masks: pixels that do not count


def examples(dataset: Dataset) -> list[dict[str, Any]]:
    """Return up to 12 training images as JSON, of different classes if there are classes.

    Empty for data sets of other things than images.
    """
    if len(dataset.sample_shape) + 1 != _IMAGE_RANK:
        return []
    chosen = torch.from_numpy(_choose(dataset))
    x, labels = dataset.raw(chosen)
    small = _small(x)
    return [
        _example(dataset, small[k], None if labels is None else labels[k], tuple(x.shape[2:]))
        for k in range(len(chosen))
    ]


def _choose(dataset: Dataset) -> NDArray[np.int64]:
    """Return the positions of one training sample per class, or of samples evenly spaced."""
    train = np.flatnonzero(dataset.split == Split.TRAIN)
    classes = dataset.classes
    if classes is not None:
        firsts = train[np.unique(classes[train], return_index=True)[1]]
        if len(firsts) >= MOST_EXAMPLES:
            return firsts[:MOST_EXAMPLES]
        others = np.setdiff1d(train, firsts)[: MOST_EXAMPLES - len(firsts)]
        return np.sort(np.concatenate([firsts, others]))
    count = min(MOST_EXAMPLES, len(train))
    return train[np.linspace(0, len(train) - 1, count).astype(np.int64)]


def _small(x: Tensor) -> Tensor:
    """Return bytes (N, 1 or 3, H, W) of at most 64 pixels a side."""
    x = x if x.shape[1] == _RGB else x[:, :1]
    if x.dtype != torch.uint8:
        x = x.float().nan_to_num()
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        x = (x - low) / (high - low).clamp(min=1e-12) * 255
    scale = MOST_SIDE / max(x.shape[2:])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in x.shape[2:]]
        x = interpolate(x.float(), size=size, mode="area")
    return x.round().clamp(0, 255).to(torch.uint8) if x.dtype != torch.uint8 else x


def _example(
    dataset: Dataset, pixels: Tensor, label: Tensor | None, size: tuple[int, ...]
) -> dict[str, Any]:
    channels, height, width = pixels.shape
    boxes = _boxes(dataset, label, size) if dataset.labels_kind == "boxes" else ()
    points = _points(dataset, label, size) if dataset.labels_kind == "keypoints" else ()
    return Example(
        label=_words(dataset, label, boxes)[:_MOST_CHARACTERS],
        split="train",
        height=height,
        width=width,
        channels=1 if channels == 1 else 3,
        pixels=b64encode(pixels.permute(1, 2, 0).contiguous().numpy().tobytes()).decode(),
        boxes=boxes,
        points=points,
    ).model_dump()


def _words(dataset: Dataset, label: Tensor | None, boxes: tuple[Box, ...]) -> str:
    """Return a label in words; empty without labels."""
    if label is None or dataset.labels_kind == "none":
        return ""
    names = dataset.class_names
    if dataset.labels_kind == "boxes":
        return _list(list(dict.fromkeys(box.label for box in boxes)))
    if dataset.labels_kind == "texts":
        return "".join(_name(names, int(number)) for number in label if int(number) >= 0)
    if dataset.labels_kind == "keypoints":
        return _list(list(names))
    numbers = {
        "classes": label.flatten(),
        "multi_label": label.nonzero().flatten(),
        "masks": label.unique(),
    }.get(dataset.labels_kind)
    if numbers is None:
        return ", ".join(f"{value:.4g}" for value in label.flatten()[:_MOST_NAMED].tolist())
    return _list([_name(names, int(number)) for number in numbers if int(number) != _IGNORED])


def _boxes(dataset: Dataset, label: Tensor | None, size: tuple[int, ...]) -> tuple[Box, ...]:
    """Return the objects of rows (M, 6): class, x0, y0, x1, y1 in pixels, is_crowd."""
    if label is None:
        return ()
    rows = label[label[:, 0] >= 0][:MOST_BOXES].double()
    height, width = size
    shares = (rows[:, 1:5] / torch.tensor([width, height, width, height])).clamp(0, 1)
    return tuple(
        Box(label=_name(dataset.class_names, int(row[0])), x0=x0, y0=y0, x1=x1, y1=y1)
        for row, (x0, y0, x1, y1) in zip(rows, shares.tolist(), strict=True)
    )


def _points(dataset: Dataset, label: Tensor | None, size: tuple[int, ...]) -> tuple[Point, ...]:
    """Return the labelled keypoints of rows (M, 6 + 3K), as `layouts.poses` writes them."""
    if label is None:
        return ()
    objects = label[label[:, 0] >= 0].double()
    triples = objects[:, 6:].reshape(len(objects), -1, 3) if len(objects) else objects.view(0, 1, 3)
    height, width = size
    shares = (triples[..., :2] / torch.tensor([width, height])).clamp(0, 1)
    seen = (triples[..., 2] > 0).nonzero()[:MOST_POINTS].tolist()
    return tuple(
        Point(
            label=_name(dataset.class_names, n), x=float(shares[k, n, 0]), y=float(shares[k, n, 1])
        )
        for k, n in seen
    )


def _name(names: tuple[str, ...], number: int) -> str:
    return (names[number] if number < len(names) else str(number))[:_MOST_CHARACTERS]


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
