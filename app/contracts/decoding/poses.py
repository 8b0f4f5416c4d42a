"""Decoders of keypoints: functions from arrays to keypoints in pixels of the input.

N: batch; K: keypoints; A: anchors, as in `heads`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from app.contracts.decoding.boxes import Array, Boxes, best_index
from app.contracts.decoding.heads import Shape, Size, from_centres, stride_of, strides_of

_BEFORE = 5  # channels of a box and its score
_VALUES = 3  # x, y and score of a keypoint


class Poses(NamedTuple):
    """Objects of one image, best first.

    Attributes:
        points: (N, K, 3) x and y in pixels, and a score in [0, 1], of each keypoint.
        scores: (N,) scores of the objects in [0, 1].
        corners: (N, 4) x0, y0, x1, y1 of their boxes in pixels.
    """

    points: Array
    scores: Array
    corners: Array

    def chosen(self, index: Array) -> "Poses":
        """Return the objects at ``index``."""
        return Poses(self.points[index], self.scores[index], self.corners[index])


@dataclass(frozen=True)
class PoseHead:
    """A form of outputs with keypoints.

    Attributes:
        name: Name in configs.
        num_points: Returns the number of keypoints for the shapes of the outputs (N, ...) and the
            size of the input; None if the shapes are not of this form.
        decode: Returns all objects of each image, without suppression.
    """

    name: str
    num_points: Callable[[Sequence[Shape], Size], int | None]
    decode: Callable[[Sequence[Array], Size], list[Poses]]


@dataclass(frozen=True)
class PoseReader:
    """The form of the outputs of a network that finds keypoints.

    Attributes:
        head: Name of a head.
        size: Height and width of the network's input.
        least_score: Least score of an object of a head that scores objects.
        most_overlap: Overlap above which the worse of two objects is removed.
    """

    head: str
    size: Size
    least_score: float
    most_overlap: float

    def __call__(self, outputs: Sequence[Array]) -> list[Poses]:
        """Return the objects of each image in pixels of the network's input, best first."""
        found = POSE_HEADS[self.head].decode(outputs, self.size)
        return found if self.head == "heatmaps" else [self._best(each) for each in found]

    def _best(self, poses: Poses) -> Poses:
        found = poses.chosen(np.flatnonzero(np.isfinite(poses.points).all((1, 2))))
        boxes = Boxes(found.corners, found.scores, np.zeros(len(found.scores), np.int64))
        return found.chosen(best_index(boxes, self.least_score, self.most_overlap))


def _heatmap_points(shapes: Sequence[Shape], size: Size) -> int | None:
    is_map = len(shapes) == 1 and len(shapes[0]) == 4  # noqa: PLR2004  # (N, K, h, w)
    if not is_map or not (shapes[0][2:] == size or stride_of(shapes[0], size)):
        return None
    return shapes[0][1]


def decode_heatmaps(outputs: Sequence[Array], size: Size) -> list[Poses]:
    """Decode (N, K, h, w): one object an image, with each keypoint where its map is highest.

    A keypoint lies a quarter of a cell towards the higher neighbour, and a cell stands for its
    upper left corner (Xiao et al. 2018, arXiv:1804.06208).
    """
    maps = np.nan_to_num(outputs[0].astype(np.float32), posinf=0.0, neginf=0.0)
    num, num_points, height, width = maps.shape
    flat = maps.reshape(num, num_points, -1)
    places = flat.argmax(2)
    rows, columns = np.divmod(places, width)
    scores = np.take_along_axis(flat, places[:, :, None], 2)[:, :, 0].clip(0, 1)
    images, points = np.ogrid[:num, :num_points]

    def at(dy: int, dx: int) -> Array:
        y, x = (rows + dy).clip(0, height - 1), (columns + dx).clip(0, width - 1)
        found: Array = maps[images, points, y, x]
        return found

    is_inner_x = (columns > 0) & (columns < width - 1)
    is_inner_y = (rows > 0) & (rows < height - 1)
    x = columns + 0.25 * np.sign(at(0, 1) - at(0, -1)) * is_inner_x
    y = rows + 0.25 * np.sign(at(1, 0) - at(-1, 0)) * is_inner_y
    stride = size[0] // height
    found = np.stack([x * stride, y * stride, scores], 2)
    low, high = found[:, :, :2].min(1), found[:, :, :2].max(1)
    corners = np.concatenate([low, high], 1)
    return [
        Poses(p[None], p[None, :, 2].mean(1), c[None]) for p, c in zip(found, corners, strict=True)
    ]


def _yolov8_points(shapes: Sequence[Shape], size: Size) -> int | None:
    is_one = len(shapes) == 1 and len(shapes[0]) == 3  # noqa: PLR2004  # (N, 5 + 3K, A)
    if (
        not is_one
        or strides_of(shapes[0][2], size, shapes[0][1]) is None
        or shapes[0][1] < _BEFORE + _VALUES
    ):
        return None
    number, left = divmod(shapes[0][1] - _BEFORE, _VALUES)
    return number if left == 0 else None


def decode_yolov8_pose(outputs: Sequence[Array], size: Size) -> list[Poses]:
    """Decode (N, 5 + 3K, A): centre, width and height, score, then x, y and score of keypoints."""
    del size
    found = []
    for each in outputs[0]:
        points = each[_BEFORE:].T.reshape(each.shape[1], -1, _VALUES)
        found.append(Poses(points, each[4], from_centres(each[:4].T)))
    return found


_ALL = (
    PoseHead("heatmaps", _heatmap_points, decode_heatmaps),
    PoseHead("yolov8_pose", _yolov8_points, decode_yolov8_pose),
)
POSE_HEADS: Mapping[str, PoseHead] = {each.name: each for each in _ALL}
