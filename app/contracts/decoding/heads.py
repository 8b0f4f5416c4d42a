"""Decoders of known detectors' outputs: functions from arrays to boxes in pixels of the input.

N: batch; K: classes; A: anchors, all positions of all grids; R: bins of a side's distance.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from app.contracts.decoding.boxes import Array, Boxes
from app.contracts.decoding.dbnet import dbnet_classes, decode_dbnet

Shape = tuple[int, ...]
Size = tuple[int, int]
Decoder = Callable[[Sequence[Array], Size], list[Boxes]]

STRIDES = (8, 16, 32)
_RANGE = (4, 8, 16, 32, 64)
# The usual strides first; then neighbours in the range, such as two of them, or with 4 or 64.
_STRIDE_SETS = (
    STRIDES,
    *(_RANGE[a:b] for a in range(len(_RANGE)) for b in range(a + 2, len(_RANGE) + 1)),
)
_MOST_STRIDE = 128
_CORNERS = 4


@dataclass(frozen=True)
class Head:
    """A form of detectors' outputs.

    Attributes:
        name: Name in configs.
        num_classes: Returns the number of classes, with an SSD's background, for the shapes of the
            outputs (N, ...) and the size of the input; None if the shapes are not of this form.
        decode: Returns all boxes of each image, without suppression.
    """

    name: str
    num_classes: Callable[[Sequence[Shape], Size], int | None]
    decode: Decoder


def _grids(size: Size, strides: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return height, width and stride of the grids of a network."""
    return [(-(-size[0] // s), -(-size[1] // s), s) for s in strides]


def _num_cells(size: Size, strides: Sequence[int]) -> int:
    return sum(height * width for height, width, _ in _grids(size, strides))


def strides_of(num_cells: int, size: Size, num_values: int) -> Sequence[int] | None:
    """Return the strides of the grids that have so many cells together; None if none have.

    Unusual grids count only if they have more cells than a cell has values: otherwise the axes are
    those of another head, the other way round.
    """
    found = next((each for each in _STRIDE_SETS if _num_cells(size, each) == num_cells), None)
    return found if found == STRIDES or num_cells > num_values else None


def is_usual_detector(shapes: Sequence[Shape], size: Size) -> bool:
    """Return whether no other network has outputs of these shapes (N, ...).

    One output has as many anchors as the three usual grids have cells, or three times as many.
    """
    is_one = len(shapes) == 1 and len(shapes[0]) == 3  # noqa: PLR2004
    num_cells = _num_cells(size, STRIDES)
    return is_one and bool({num_cells, 3 * num_cells} & set(shapes[0][1:]))


def from_centres(xywh_A4: Array) -> Array:
    """Return corners for centres, widths and heights."""
    centre, half = xywh_A4[:, :2], xywh_A4[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], 1)


def _best_classes(corners_A4: Array, scores_AK: Array) -> Boxes:
    classes = scores_AK.argmax(1)
    return Boxes(corners_A4, scores_AK[np.arange(len(classes)), classes], classes)


def _yolov8_classes(shapes: Sequence[Shape], size: Size) -> int | None:
    is_one = len(shapes) == 1 and len(shapes[0]) == 3  # noqa: PLR2004  # (N, 4 + K, A)
    if (
        not is_one
        or strides_of(shapes[0][2], size, shapes[0][1]) is None
        or shapes[0][1] <= _CORNERS
    ):
        return None
    return shapes[0][1] - _CORNERS


def decode_yolov8(outputs: Sequence[Array], size: Size) -> list[Boxes]:
    """Decode (N, 4 + K, A): centre, width and height in pixels, and a score per class."""
    del size
    return [
        _best_classes(from_centres(each[:_CORNERS].T), each[_CORNERS:].T) for each in outputs[0]
    ]


def _yolov8_raw_classes(shapes: Sequence[Shape], size: Size) -> int | None:
    """Return the classes of R = 16 bins, as in YOLOv8 and YOLO11, or of one bin."""
    are_maps = all(len(shape) == 4 for shape in shapes)  # noqa: PLR2004  # (N, C, h, w)
    if not shapes or not are_maps or len({shape[1] for shape in shapes}) != 1:
        return None
    strides = [stride_of(shape, size) for shape in shapes]
    if None in strides or len(set(strides)) != len(strides):
        return None
    num_channels = shapes[0][1]
    bins = 16 if num_channels > 16 * _CORNERS else 1
    return num_channels - _CORNERS * bins if num_channels > _CORNERS * bins else None


def stride_of(shape: Shape, size: Size) -> int | None:
    """Return the stride of a map (N, C, h, w) in the input; None if it has none from 2 to 128."""
    height, width = shape[2:]
    if height < 1 or width < 1 or size[0] % height or size[1] % width:
        return None
    stride = size[0] // height
    return stride if stride == size[1] // width and 1 < stride <= _MOST_STRIDE else None


def decode_yolov8_raw(outputs: Sequence[Array], size: Size) -> list[Boxes]:
    """Decode one map (N, 4R + K, h, w) per stride.

    The distances from a cell's centre to the four sides are expectations over R bins, in strides
    (Li et al. 2020, arXiv:2006.04388); with one bin they are given as they are. Scores are logits.
    """
    num_classes = _yolov8_raw_classes([each.shape for each in outputs], size)
    assert num_classes is not None  # noqa: S101  # the caller has checked
    corners, scores = [], []
    for output in outputs:
        num, num_channels, height, width = output.shape
        num_bins = (num_channels - num_classes) // _CORNERS
        flat = output.reshape(num, num_channels, -1).astype(np.float32)
        sides = flat[:, : _CORNERS * num_bins].reshape(num, _CORNERS, num_bins, -1)
        if num_bins > 1:
            sides = (_softmax(sides, 2) * np.arange(num_bins).reshape(-1, 1)).sum(2)
        else:
            sides = sides[:, :, 0]
        centre = np.stack([_cells(height, width)[:, 0], _cells(height, width)[:, 1]]) + 0.5
        stride = size[0] // height
        box = np.concatenate([centre - sides[:, :2], centre + sides[:, 2:]], 1) * stride
        corners.append(box.transpose(0, 2, 1))
        scores.append(_sigmoid(flat[:, _CORNERS * num_bins :]).transpose(0, 2, 1))
    boxes, found = np.concatenate(corners, 1), np.concatenate(scores, 1)
    return [_best_classes(*pair) for pair in zip(boxes, found, strict=True)]


def _rows_classes(shapes: Sequence[Shape], size: Size, boxes_per_cell: int) -> int | None:
    is_one = len(shapes) == 1 and len(shapes[0]) == 3  # noqa: PLR2004  # (N, A, 5 + K)
    if not is_one or shapes[0][2] <= _CORNERS + 1:
        return None
    num_cells, rest = divmod(shapes[0][1], boxes_per_cell)
    if rest or strides_of(num_cells, size, shapes[0][2]) is None:
        return None
    return shapes[0][2] - _CORNERS - 1


def _yolov5_classes(shapes: Sequence[Shape], size: Size) -> int | None:
    return _rows_classes(shapes, size, 3)


def decode_yolov5(outputs: Sequence[Array], size: Size) -> list[Boxes]:
    """Decode (N, A, 5 + K): centre, width and height in pixels, objectness, scores."""
    del size
    return [
        _best_classes(from_centres(each[:, :_CORNERS]), each[:, 4:5] * each[:, 5:])
        for each in outputs[0]
    ]


def _yolox_classes(shapes: Sequence[Shape], size: Size) -> int | None:
    return _rows_classes(shapes, size, 1)


def decode_yolox(outputs: Sequence[Array], size: Size) -> list[Boxes]:
    """Decode (N, A, 5 + K): offsets from the cell, logarithms of sizes, objectness, scores."""
    cells, strides = [], []
    found_strides = strides_of(outputs[0].shape[1], size, outputs[0].shape[2])
    assert found_strides is not None  # noqa: S101  # the caller has checked
    for height, width, stride in _grids(size, found_strides):
        cells.append(_cells(height, width))
        strides.append(np.full((height * width, 1), stride, np.float32))
    cell_A2, stride_A1 = np.concatenate(cells), np.concatenate(strides)
    found = []
    for each in outputs[0]:
        centre = (each[:, :2] + cell_A2) * stride_A1
        with np.errstate(over="ignore"):
            sides = np.exp(each[:, 2:4]) * stride_A1
        corners = from_centres(np.concatenate([centre, sides], 1))
        found.append(_best_classes(corners, each[:, 4:5] * each[:, 5:]))
    return found


def _ssd_classes(shapes: Sequence[Shape], size: Size) -> int | None:
    del size
    is_pair = len(shapes) == 2 and all(len(shape) == 3 for shape in shapes)  # noqa: PLR2004
    if not is_pair or shapes[0][1] != shapes[1][1] or _CORNERS not in {s[2] for s in shapes}:
        return None
    boxes, scores = _ssd_order(shapes)
    return shapes[scores][2] if shapes[boxes][2] == _CORNERS else None


def _ssd_order(shapes: Sequence[Shape]) -> tuple[int, int]:
    """Return the numbers of the outputs with boxes and scores; boxes come first in doubt."""
    return (0, 1) if shapes[0][2] == _CORNERS else (1, 0)


def decode_ssd(outputs: Sequence[Array], size: Size) -> list[Boxes]:
    """Decode corners (N, A, 4) and scores (N, A, K).

    Corners are pixels, or shares of the sides if none exceeds 2. Scores are probabilities, or
    logits of a softmax otherwise. `without_background` removes class 0 where it is the background.
    """
    first, second = _ssd_order([each.shape for each in outputs])
    corners, scores = outputs[first], outputs[second]
    if corners.size and np.abs(corners).max() <= 2:  # noqa: PLR2004  # a share of 2 is off the image
        corners = corners * np.array([size[1], size[0]] * 2, np.float32)
    if scores.size and not ((scores >= 0) & (scores <= 1)).all():
        scores = _softmax(scores, 2)
    return [_best_classes(*pair) for pair in zip(corners, scores, strict=True)]


def without_background(boxes: Boxes) -> Boxes:
    """Return the boxes of classes from 1, counted from 0."""
    is_object = boxes.classes > 0
    found = boxes.chosen(is_object)
    return found._replace(classes=found.classes - 1)


def _cells(height: int, width: int) -> Array:
    """Return x and y of every cell of a grid, row by row, (height * width, 2)."""
    rows, columns = np.divmod(np.arange(height * width), width)
    return np.stack([columns, rows], 1).astype(np.float32)


def _sigmoid(values: Array) -> Array:
    found: Array = 0.5 * (1 + np.tanh(values / 2))
    return found


def _softmax(values: Array, axis: int) -> Array:
    raised = np.exp(values - values.max(axis, keepdims=True))
    found: Array = raised / raised.sum(axis, keepdims=True)
    return found


_ALL = (
    Head("yolov8", _yolov8_classes, decode_yolov8),
    Head("yolov8_raw", _yolov8_raw_classes, decode_yolov8_raw),
    Head("yolov5", _yolov5_classes, decode_yolov5),
    Head("yolox", _yolox_classes, decode_yolox),
    Head("ssd", _ssd_classes, decode_ssd),
    Head("dbnet", dbnet_classes, decode_dbnet),
)
HEADS: Mapping[str, Head] = {each.name: each for each in _ALL}


def find_heads(shapes: Sequence[Shape], size: Size) -> list[Head]:
    """Return the heads whose outputs may have these shapes (N, ...), for an input of ``size``."""
    if not shapes or any(prod(shape[1:]) == 0 for shape in shapes):
        return []
    return [each for each in _ALL if each.num_classes(shapes, size) is not None]
