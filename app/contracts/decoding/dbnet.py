"""Decoder of text detectors that answer a map of text: DBNet (Liao et al. 2019, arXiv:1911.08947).

The map shows lines of text shrunk towards their middle, so boxes grow again. They are upright, and
turned lines get the box around them.
"""

from collections.abc import Sequence

import numpy as np

from app.contracts.decoding.areas import find_areas
from app.contracts.decoding.boxes import Array, Boxes

_TEXT = 0.3  # least probability of text, and the growth, as in the paper and in PaddleOCR
_GROWTH = 1.5
_LEAST_SIDE = 3  # cells; smaller areas are noise
_RANK = 4


def dbnet_classes(shapes: Sequence[tuple[int, ...]], size: tuple[int, int]) -> int | None:
    """Return the one class of a map (N, 1, h, w) at the input's size, or a whole part of it."""
    if len(shapes) != 1 or len(shapes[0]) != _RANK or shapes[0][1] != 1:
        return None
    height, width = shapes[0][2:]
    if min(height, width) < 1 or size[0] % height or size[1] % width:
        return None
    return 1 if size[0] // height == size[1] // width <= _RANK else None


def decode_dbnet(outputs: Sequence[Array], size: tuple[int, int]) -> list[Boxes]:
    """Decode (N, 1, h, w): probabilities of text, or their logits if any is beyond 0 and 1."""
    maps: Array = np.nan_to_num(outputs[0][:, 0].astype(np.float32))
    if maps.size and not ((maps >= 0) & (maps <= 1)).all():
        maps = 0.5 * (1 + np.tanh(maps / 2))
    return [_boxes(each, size[0] // each.shape[0]) for each in maps]


def _boxes(values_HW: Array, stride: int) -> Boxes:
    areas = find_areas(values_HW, values_HW > _TEXT)
    sides = areas.corners[:, 2:] - areas.corners[:, :2]
    is_large = sides.min(1, initial=np.inf) >= _LEAST_SIDE
    corners, sides = areas.corners[is_large], sides[is_large]
    grown = (_GROWTH * sides.prod(1) / (2 * sides.sum(1)))[:, None]
    height, width = values_HW.shape
    grown_N4 = np.concatenate([corners[:, :2] - grown, corners[:, 2:] + grown], 1)
    placed = grown_N4.clip(0, [width, height, width, height]) * stride
    return Boxes(placed, areas.means[is_large], np.zeros(len(placed), np.int64))
